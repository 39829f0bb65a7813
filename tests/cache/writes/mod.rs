//! After every write, another process that had cached the previous value reads the new one.

use super::*;
use crate::servers::{self, REDIS};
use crate::wire::Wire;
use std::time::Duration;
use wundr_db::cache::CacheConfig;
use wundr_db::testing::migrated_database;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisSummary, AnalysisType, Config, ConfigCategory,
    ConfigScope, Configuration, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    ConfigurationScope, Error, NewAnalysis, NewConfiguration, NewInvitation, NewOrganization,
    NewOrganizationMember, NewProject, NewProjectMember, NewSetupProfile, NewTool, NewUser,
    NewUserSession, OrganizationChanges, OrganizationFilter, OrganizationId,
    OrganizationMemberChanges, OrganizationMemberFilter, OrganizationMemberId, OrganizationRole,
    ProjectChanges, ProjectFilter, ProjectId, ProjectMemberChanges, ProjectMemberFilter,
    ProjectMemberId, ProjectRole, ProjectVisibility, Result, SetupCategory, SetupProfileChanges,
    SetupProfileFilter, SetupProfileId, SubscriptionPlan, ToolCategory, ToolChanges, ToolFilter,
    ToolId, User, UserChanges, UserFilter, UserId, UserSessionChanges, UserSessionFilter,
    UserSessionId,
};

include!("../pair.rs");

/// A way to write.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// After it was undone with its transaction.
    Pooled,
    /// After it was undone with a savepoint of one that stayed.
    Transaction,
}

const MODES: [Mode; 2] = [Mode::Pooled, Mode::Transaction];

/// The reads before and after each write.
#[derive(Default)]
struct Subjects {
    users: Vec<UserId>,
    emails: Vec<String>,
    token_hashes: Vec<&'static str>,
    organizations: Vec<OrganizationId>,
    slugs: Vec<&'static str>,
    projects: Vec<ProjectId>,
    profiles: Vec<SetupProfileId>,
    tools: Vec<ToolId>,
}

/// All that is cached of the subjects.
#[both_engines]
macro_rules! views {
    ($db:expr, $subjects:expr) => {{
        let (db, subjects) = ($db, $subjects);
        let mut views = Vec::new();
        for &id in &subjects.users {
            views.push(format!("{:?}", db.users().find(id).await.unwrap()));
        }
        for email in &subjects.emails {
            views.push(format!(
                "{email} {:?}",
                db.users().find_by_email(email).await.unwrap()
            ));
        }
        for hash in &subjects.token_hashes {
            let session = db.user_sessions().find_by_token_hash(hash).await.unwrap();
            // Its hashes are not in its debug form.
            let hashes = session
                .clone()
                .map(|session| (session.token_hash, session.refresh_token_hash));
            views.push(format!("{hash} {session:?} {hashes:?}"));
        }
        for &id in &subjects.organizations {
            views.push(format!("{:?}", db.organizations().find(id).await.unwrap()));
            views.push(settings(
                db.configurations()
                    .effective_all(id.into(), None)
                    .await
                    .unwrap(),
            ));
            for &user in &subjects.users {
                let role = db.organization_members().role_of(id, user).await.unwrap();
                let access = db.organizations().access(user, id).await.unwrap();
                views.push(format!("{id} {user} {role:?} {access:?}"));
            }
        }
        for slug in &subjects.slugs {
            views.push(format!(
                "{slug} {:?}",
                db.organizations().find_by_slug(slug).await.unwrap()
            ));
        }
        for &id in &subjects.projects {
            views.push(format!("{:?}", db.projects().find(id).await.unwrap()));
            views.push(settings(
                db.configurations()
                    .effective_all(id.into(), None)
                    .await
                    .unwrap(),
            ));
            for &user in &subjects.users {
                let role = db.project_members().role_of(id, user).await.unwrap();
                let access = db.projects().access(user, id).await.unwrap();
                views.push(format!("{id} {user} {role:?} {access:?}"));
            }
            for r#type in [AnalysisType::Quality, AnalysisType::Security] {
                let latest = db.analyses().latest(id, r#type).await.unwrap();
                let completed = db.analyses().latest_completed(id, r#type).await.unwrap();
                views.push(format!("{latest:?} {completed:?}"));
            }
        }
        for &id in &subjects.profiles {
            views.push(format!("{:?}", db.setup_profiles().find(id).await.unwrap()));
        }
        for &id in &subjects.tools {
            views.push(format!("{:?}", db.tools().find(id).await.unwrap()));
        }
        views
    }};
}

type Settings =
    std::collections::HashMap<ConfigCategory, std::collections::BTreeMap<String, Configuration>>;

fn settings(effective: Settings) -> String {
    let mut lines: Vec<_> = effective
        .iter()
        .map(|(category, rows)| format!("{category:?} {rows:?}"))
        .collect();
    lines.sort();
    lines.join("; ")
}

#[both_engines]
async fn seen_by_cache(db: &Cached, subjects: &Subjects) -> Vec<String> {
    views!(db, subjects)
}

#[both_engines]
async fn seen_by_database(db: &Db, subjects: &Subjects) -> Vec<String> {
    views!(db, subjects)
}

/// Writers and readers of the same things.
struct Scene {
    pair: Pair,
    mode: Mode,
    subjects: Subjects,
    before: Vec<String>,
}

#[both_engines]
async fn scene(mode: Mode, subjects: Subjects) -> Scene {
    Scene {
        pair: pair(shared()).await,
        mode,
        subjects,
        before: Vec::new(),
    }
}

/// The other process has all of it in its cache.
#[both_engines]
async fn warm(scene: &mut Scene) {
    for _ in 0..2 {
        scene.before = seen_by_cache(&scene.pair.other, &scene.subjects).await;
    }
    // On a busy machine, the third read was not always a hit.
    for _ in 0..50 {
        let hits = scene.pair.other.metrics().hits;
        scene.before = seen_by_cache(&scene.pair.other, &scene.subjects).await;
        if scene.pair.other.metrics().hits > hits {
            return;
        }
    }
    panic!("the cache stores none of it");
}

#[both_engines]
async fn is_unchanged(scene: &Scene, after: &str) {
    let now = seen_by_cache(&scene.pair.other, &scene.subjects).await;
    compare(after, &now, &scene.before);
}

#[both_engines]
async fn is_seen(scene: &Scene, write: &str) {
    let cached = seen_by_cache(&scene.pair.other, &scene.subjects).await;
    let truth = seen_by_database(&scene.pair.plain, &scene.subjects).await;
    compare(write, &cached, &truth);
    let own = seen_by_cache(&scene.pair.one, &scene.subjects).await;
    compare(write, &own, &truth);
    assert!(
        cached != scene.before || write.contains("delete_expired"),
        "{write} changes nothing that is looked at"
    );
}

fn compare(write: &str, seen: &[String], truth: &[String]) {
    for (seen, truth) in seen.iter().zip(truth) {
        assert_eq!(seen, truth, "after {write}");
    }
}

/// The error by which a savepoint is rolled back.
#[derive(Debug)]
struct Undone;

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        panic!("{error:?}")
    }
}

/// A write that is undone first, and then stays; it is seen by the other process then, and not
/// before.
#[both_engines]
macro_rules! wrote {
    ($scene:ident, $repository:ident.$method:ident($($argument:expr),* $(,)?)) => {
        wrote!($scene, stringify!($repository.$method), db => db.$repository().$method($($argument),*))
    };
    ($scene:ident, $name:expr, $db:ident => $write:expr) => {{
        let name = format!("{} ({:?})", $name, $scene.mode);
        warm(&mut $scene).await;
        let undone: Result<(), Undone> = $scene.pair.one.transaction(async |tx| {
            let undone: Result<(), Undone> = tx.savepoint(async |$db| {
                $write.await?;
                Err(Undone)
            }).await;
            undone.unwrap_err();
            match $scene.mode {
                Mode::Pooled => Err(Undone),
                Mode::Transaction => Ok(()),
            }
        }).await;
        assert_eq!(undone.is_err(), matches!($scene.mode, Mode::Pooled));
        is_unchanged(&$scene, &name).await;
        let outcome: Result<_> = match $scene.mode {
            Mode::Pooled => {
                let $db = &$scene.pair.one;
                $write.await
            }
            Mode::Transaction => $scene.pair.one.transaction(async |$db| $write.await).await,
        };
        let outcome = outcome.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        is_seen(&$scene, &name).await;
        outcome
    }};
}

mod accounts;
mod administration;
mod analyses;
mod coverage;
mod projects;
mod setup;
