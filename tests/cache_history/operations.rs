//! The operations on the database, written once for both engines.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{both_engines, *};
use crate::ending;
use crate::event::{Key, Kind, Log, Seen, What};
use crate::random::Random;
use crate::settings::{Object, Workload};
use crate::value::{self, POISON};
use wundr_db::{
    AnalysisType, ConfigCategory, Configuration, Document, Error, Isolation, NewAnalysis,
    NewConfiguration, NewUserSession, ProjectChanges, Result, TransactionOptions, UserChanges,
    UserSession,
};

const CATEGORY: ConfigCategory = ConfigCategory::Analysis;
const NAME: &str = "depth";
const TYPE: AnalysisType = AnalysisType::Quality;

/// Reads something, by chance through one method or another, and notes what it was.
#[both_engines]
pub async fn read(db: &Cached, load: &Workload, chance: &Random, log: &Log) -> Result<()> {
    if load.started > 0 && chance.in_a_thousand(50) {
        return read_ending(db, load, chance, log).await;
    }
    let number = chance.below(load.objects.len() as u64) as usize;
    let kind = *chance.pick(Kind::OF_OBJECTS);
    if kind == Kind::Project && chance.in_a_thousand(200) {
        return read_projects(db, load, log).await;
    }
    let key = Key {
        object: number as u32,
        kind,
    };
    let operation = log.operation();
    log.note(key, operation, What::ReadBegan);
    let by_other_way = chance.in_a_thousand(300);
    let seen = seen(db, &load.objects[number], kind, by_other_way).await?;
    log.note(key, operation, What::ReadEnded(seen));
    Ok(())
}

#[both_engines]
async fn read_projects(db: &Cached, load: &Workload, log: &Log) -> Result<()> {
    let operation = log.operation();
    let key = |object: usize| Key {
        object: object as u32,
        kind: Kind::Project,
    };
    let ids: Vec<_> = load.objects.iter().map(|object| object.project).collect();
    (0..ids.len()).for_each(|object| log.note(key(object), operation, What::ReadBegan));
    let projects = db.projects().find_many(&ids).await?;
    for (object, project) in projects.into_iter().enumerate() {
        let description = project.and_then(|project| project.description);
        let seen = value::seen(&description.unwrap());
        log.note(key(object), operation, What::ReadEnded(seen));
    }
    Ok(())
}

/// Reads a session that ends about now, by the true clock, and notes when it was found although it
/// had ended.
#[both_engines]
async fn read_ending(db: &Cached, load: &Workload, chance: &Random, log: &Log) -> Result<()> {
    let Some(now) = ending::now(load.started) else {
        return Ok(());
    };
    let ends = (now + 1_000 - chance.below(4_000)) / ending::EVERY * ending::EVERY;
    let sessions = db.user_sessions();
    let session = sessions.find_by_token_hash(&ending::token(ends)).await?;
    if session.is_some() && now > ends + ending::SLACK {
        let key = Key {
            object: 0,
            kind: Kind::Session,
        };
        log.note(key, log.operation(), What::FoundAfterItsEnd(now - ends));
    }
    Ok(())
}

/// Reads the current value, by one of several methods.
#[both_engines]
pub async fn seen(db: &Cached, object: &Object, kind: Kind, by_other_way: bool) -> Result<Seen> {
    Ok(match kind {
        Kind::Project => {
            let project = db.projects().find(object.project).await?;
            let description = project.and_then(|project| project.description);
            value::seen(&description.unwrap())
        }
        Kind::User => {
            let user = if by_other_way {
                db.users().find_by_email(&object.email).await?
            } else {
                db.users().find(object.user).await?
            };
            value::seen(&user.unwrap().name)
        }
        Kind::Session => {
            let sessions = db.user_sessions();
            seen_session(sessions.find_by_token_hash(&object.token).await?)
        }
        Kind::Role => {
            let members = db.project_members();
            let role = members.role_of(object.project, object.user).await?;
            Seen::Class(value::class_of(role))
        }
        Kind::Latest => {
            let analyses = db.analyses();
            let newest = if by_other_way {
                analyses.latest_completed(object.project, TYPE).await?
            } else {
                analyses.latest(object.project, TYPE).await?
            };
            seen_value(&newest.unwrap().configuration)
        }
        Kind::Login => unreachable!("objects have none"),
        Kind::Configuration => {
            let (scope, settings) = (object.project.into(), db.configurations());
            let setting = if by_other_way {
                settings.find_by_name(scope, CATEGORY, NAME).await?
            } else {
                settings.effective(scope, CATEGORY, NAME).await?
            };
            seen_setting(setting)
        }
    })
}

fn seen_session(session: Option<UserSession>) -> Seen {
    match session {
        Some(session) => value::seen(&session.user_agent.unwrap()),
        None => Seen::Class(value::ABSENT),
    }
}

fn seen_setting(setting: Option<Configuration>) -> Seen {
    seen_value(setting.unwrap().value.get().unwrap())
}

fn seen_value(document: &Document) -> Seen {
    let text: Option<String> = document.field("text").unwrap();
    value::seen(&text.unwrap())
}

/// A kind of write.
pub struct Plan {
    kinds: Vec<Kind>,
    /// It is rolled back in the end.
    is_poisoned: bool,
    /// The cache must assume that it has written everything.
    touches_everything: bool,
    /// Then it also takes the prepared statements of its session away.
    pub deallocates: bool,
    /// The pause between its statements.
    stays: Duration,
}

impl Plan {
    pub fn by(chance: &Random, load: &Workload) -> Self {
        let others = Kind::OF_OBJECTS
            .iter()
            .filter(|kind| **kind != Kind::Project);
        let touches_everything = chance.in_a_thousand(load.everything);
        Self {
            deallocates: touches_everything && chance.in_a_thousand(load.deallocated),
            kinds: others
                .filter(|_| chance.in_a_thousand(500))
                .copied()
                .collect(),
            is_poisoned: chance.in_a_thousand(load.poisoned),
            touches_everything,
            stays: chance.within(2),
        }
    }
}

/// Writes the next version of an object's project, and of what else is planned, in one transaction.
#[both_engines]
pub async fn write(
    db: &Cached,
    load: &Workload,
    number: usize,
    plan: &Plan,
    log: &Log,
) -> Result<()> {
    let operation = log.operation();
    let writer = log.writer(operation);
    let key = |kind| Key {
        object: number as u32,
        kind,
    };
    let object = &load.objects[number];
    // A project that another process has written since is not written again: the version rises by
    // one each time.
    let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
    let version = db
        .transaction_with(&options, async |tx| -> Result<u64> {
            let project = tx.projects().find(object.project).await?;
            let description = project.and_then(|project| project.description);
            let Seen::Exactly { version, .. } = value::seen(&description.unwrap()) else {
                unreachable!("a description contains the version");
            };
            let next = version + 1;
            let version = if plan.is_poisoned { POISON } else { next };
            let text = value::text(version, writer);
            let intend = |kind, class| {
                let what = What::Intended {
                    version,
                    writer,
                    class,
                };
                if !plan.is_poisoned {
                    log.note(key(kind), operation, what);
                }
            };
            intend(Kind::Project, 0);
            if plan.touches_everything {
                // As the application's own statement: the cache has to find what it has written.
                let (project, text) = (object.project, text.replace('\'', "''"));
                let update = format!(
                    "UPDATE public.projects SET description = '{text}' WHERE id = '{project}'"
                );
                own_statement(tx, &update).await?;
            } else {
                let changes = ProjectChanges::new().description(text.clone());
                tx.projects().update(object.project, changes).await?;
            }
            stay(plan.stays).await;
            for kind in &plan.kinds {
                intend(*kind, class_of(*kind, next));
                write_kind(tx, object, *kind, next, &text).await?;
            }
            if plan.deallocates {
                own_statement(tx, "DEALLOCATE ALL").await?;
            }
            if plan.is_poisoned {
                return Err(Error::StaleWrite { what: "poison" });
            }
            Ok(version)
        })
        .await?;
    for kind in plan.kinds.iter().chain([&Kind::Project]) {
        let what = What::Acknowledged { version, writer };
        log.note(key(*kind), operation, what);
    }
    Ok(())
}

fn class_of(kind: Kind, version: u64) -> u8 {
    match kind {
        Kind::Role => value::role_class(version),
        Kind::Session => value::session_class(version),
        _ => 0,
    }
}

#[both_engines]
async fn write_kind(
    tx: &mut Tx,
    object: &Object,
    kind: Kind,
    version: u64,
    text: &str,
) -> Result<()> {
    match kind {
        Kind::Project | Kind::Login => {}
        Kind::User => {
            let changes = UserChanges::new().name(text);
            tx.users().update(object.user, changes).await?;
        }
        Kind::Session => {
            tx.user_sessions().delete_for_user(object.user).await?;
            if value::session_class(version) == value::PRESENT {
                let expires_at = Utc::now() + TimeDelta::hours(48);
                let new = NewUserSession::new(object.user, &object.token, expires_at);
                tx.user_sessions().create(new.user_agent(text)).await?;
            }
        }
        Kind::Role => {
            let members = tx.project_members();
            let role = value::role(version);
            members
                .change_role(object.project, object.user, role)
                .await?;
        }
        Kind::Latest => {
            let new = NewAnalysis::new(object.project, TYPE, object.user);
            let created_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(version as i64);
            let new = new.completed(created_at, created_at).created_at(created_at);
            let new = new.configuration(json!({ "text": text }));
            tx.analyses().create(new).await?;
        }
        Kind::Configuration => {
            let value = json!({ "text": text });
            let new = NewConfiguration::new(object.project, CATEGORY, NAME, value, object.user);
            tx.configurations().upsert(new).await?;
        }
    }
    Ok(())
}
