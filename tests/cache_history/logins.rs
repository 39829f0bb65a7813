//! Logins of users that are rotated, stolen and ended, written once for both engines.
//!
//! Each user is one register. Its only writer is the keeper of the user's login, so that the
//! versions rise: one for each pair of tokens, and one for each end. A read is an authentication
//! with the token of a version, by any process. It is accepted only if no later version was
//! acknowledged before it began: at most one pair of a login is valid, and none after its end. The
//! keeper publishes its tokens in a file, from which the readers of all processes take them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{both_engines, *};
use crate::event::{Key, Kind, Log, Seen, What};
use crate::random::Random;
use wundr_db::{
    NewUser, OpenSession, Refreshed, Result, SessionClient, SessionKeys, SessionPolicy, User,
    UserChanges, UserId, UserRole, UserSessionId,
};

/// The number of tokens that are published of a login.
const PUBLISHED: usize = 6;

pub fn sessions_of(db: &Cached) -> Sessions {
    let policy = SessionPolicy::new()
        .record_logins(false)
        .touch_every(Duration::from_secs(1));
    Sessions::new(db, SessionKeys::new(1, [7; 32]), policy).unwrap()
}

/// What a process needs of itself.
pub struct Place<'p> {
    pub db: &'p Cached,
    pub sessions: &'p Sessions,
    /// Calls of the async engine whose future is dropped, of a thousand.
    #[allow(dead_code, reason = "the blocking engine drops none")]
    pub cancelled: u64,
    pub chance: &'p Random,
    pub log: &'p Log,
    pub folder: &'p Path,
}

/// The user of a register, and its login.
pub struct Keeper {
    register: u32,
    version: u64,
    user: Option<UserId>,
    login: Option<(UserSessionId, String)>,
    published: Vec<String>,
    file: PathBuf,
}

impl Keeper {
    pub fn new(register: u32, folder: &Path) -> Self {
        Self {
            register,
            version: 0,
            user: None,
            login: None,
            published: Vec::new(),
            file: folder.join(register.to_string()),
        }
    }

    fn key(&self) -> Key {
        Key {
            object: self.register,
            kind: Kind::Login,
        }
    }

    /// Notes that the next version may be written, and returns its operation.
    fn intend(&mut self, log: &Log) -> u32 {
        self.version += 1;
        let operation = log.operation();
        let what = What::Intended {
            version: self.version,
            writer: log.writer(operation),
            class: 0,
        };
        log.note(self.key(), operation, what);
        operation
    }

    fn acknowledge(&self, log: &Log, operation: u32) {
        let what = What::Acknowledged {
            version: self.version,
            writer: log.writer(operation),
        };
        log.note(self.key(), operation, what);
    }

    /// Publishes the tokens of the newest version, which was acknowledged.
    fn publish(&mut self, log: &Log, operation: u32, opened: &OpenSession) {
        let (version, writer) = (self.version, log.writer(operation));
        let token = opened.token.expose();
        self.published.push(format!("{version} {writer} {token}"));
        if self.published.len() > PUBLISHED {
            self.published.remove(0);
        }
        let new = self.file.with_extension("new");
        std::fs::write(&new, self.published.join("\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
        self.acknowledge(log, operation);
        let refresh_token = opened.refresh_token.expose().to_owned();
        self.login = Some((opened.session.id, refresh_token));
    }

    fn end(&mut self, log: &Log, operation: u32) {
        self.acknowledge(log, operation);
        self.login = None;
    }
}

/// Does the next thing with a login.
#[both_engines]
pub async fn keep(place: &Place<'_>, keeper: &mut Keeper) {
    let Some(user) = keeper.user else {
        let email = format!("{}@example.org", UserId::new());
        let users = place.db.users();
        let created = users.create(NewUser::new(email, "keeper")).await;
        keeper.user = created.ok().map(|user| user.id);
        return;
    };
    let Some((id, refresh_token)) = keeper.login.clone() else {
        return open(place, keeper, user).await;
    };
    match place.chance.below(10) {
        // The answer was intercepted: the owner asks again, and the interceptor's tokens end.
        0 => {
            refresh(place, keeper, &refresh_token).await;
            let intercepted = keeper.login.clone();
            refresh(place, keeper, &refresh_token).await;
            if let Some((_, intercepted)) = intercepted
                && place.chance.in_a_thousand(500)
            {
                refresh(place, keeper, &intercepted).await;
            }
        }
        // An older token is presented, and the login ends.
        1 => {
            refresh(place, keeper, &refresh_token).await;
            if let Some((_, next)) = keeper.login.clone() {
                refresh(place, keeper, &next).await;
                refresh(place, keeper, &refresh_token).await;
            }
        }
        2 => end(place, keeper, user, id).await,
        _ => refresh(place, keeper, &refresh_token).await,
    }
}

#[both_engines]
async fn open(place: &Place<'_>, keeper: &mut Keeper, user: UserId) {
    let operation = keeper.intend(place.log);
    let client = SessionClient::new();
    let opening = place.sessions.open(user, &client);
    match patiently(place, opening).await {
        Some(Some(opened)) => keeper.publish(place.log, operation, &opened),
        // It is inactive, by a call whose answer was lost.
        Some(None) => {
            let _ = place.db.users().set_active(user, true).await;
        }
        None => {}
    }
}

/// Presents a refresh token until there is an answer.
#[both_engines]
async fn refresh(place: &Place<'_>, keeper: &mut Keeper, token: &str) {
    let client = SessionClient::new();
    loop {
        let operation = keeper.intend(place.log);
        let refreshing = place.sessions.refresh(token, &client);
        match patiently(place, refreshing).await {
            Some(Refreshed::Granted(opened)) => {
                return keeper.publish(place.log, operation, &opened);
            }
            Some(Refreshed::Reused { .. } | Refreshed::Unknown) => {
                return keeper.end(place.log, operation);
            }
            _ => stay(place.chance.within(20)).await,
        }
    }
}

/// Ends a login in one of many ways, again until it is acknowledged.
#[both_engines]
async fn end(place: &Place<'_>, keeper: &mut Keeper, user: UserId, id: UserSessionId) {
    let operation = keeper.intend(place.log);
    let users = place.db.users();
    let way = place.chance.below(6);
    loop {
        let is_ended = match way {
            0 => patiently(place, place.sessions.revoke(id)).await.is_some(),
            1 => {
                let revoking = place.sessions.revoke_user(user);
                patiently(place, revoking).await.is_some()
            }
            2 => {
                let deactivating = users.set_active(user, false);
                patiently(place, deactivating).await.is_some()
            }
            3 => with_another_role(place, user).await,
            4 => from_another_session(place, user).await,
            _ => patiently(place, users.delete(user)).await.is_some(),
        };
        if is_ended {
            break;
        }
        stay(place.chance.within(20)).await;
    }
    keeper.end(place.log, operation);
    match way {
        2 => drop(users.set_active(user, true).await),
        5 => keeper.user = None,
        _ => {}
    }
}

/// Changes the role of the user, which ends the sessions. Returns whether that is acknowledged.
#[both_engines]
async fn with_another_role(place: &Place<'_>, user: UserId) -> bool {
    let users = place.db.users();
    let role = match users.find(user).await {
        Ok(Some(User {
            role: UserRole::Admin,
            ..
        })) => UserRole::Developer,
        Ok(Some(_)) => UserRole::Admin,
        Ok(None) => return true,
        // The role that it has already would end no session.
        Err(_) => return false,
    };
    let changing = users.update(user, UserChanges::new().role(role));
    patiently(place, changing).await.is_some()
}

/// Opens another session of the user, which ends all others. Returns whether that is acknowledged.
#[both_engines]
async fn from_another_session(place: &Place<'_>, user: UserId) -> bool {
    let client = SessionClient::new();
    match patiently(place, place.sessions.open(user, &client)).await {
        Some(Some(other)) => {
            let revoking = place.sessions.revoke_others(other.session.id);
            patiently(place, revoking).await.is_some()
        }
        // The user is inactive, and has no session.
        Some(None) => true,
        None => false,
    }
}

/// Authenticates with a token of some process, of the newest mostly, and notes whether it was
/// accepted.
#[both_engines]
pub async fn authenticate(place: &Place<'_>) -> Result<()> {
    let Some((register, version, writer, token)) = published(place.folder, place.chance) else {
        return Ok(());
    };
    let key = Key {
        object: register,
        kind: Kind::Login,
    };
    let operation = place.log.operation();
    place.log.note(key, operation, What::ReadBegan);
    let found = place.sessions.authenticate(&token).await?;
    let seen = match found {
        Some(_) => Seen::Exactly { version, writer },
        None => Seen::Class(u8::MAX),
    };
    place.log.note(key, operation, What::ReadEnded(seen));
    Ok(())
}

fn published(folder: &Path, chance: &Random) -> Option<(u32, u64, u64, String)> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    let files: Vec<_> = files
        .filter(|file| file.path().extension().is_none())
        .collect();
    let file = files.get(chance.below(files.len() as u64) as usize)?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let back = if chance.in_a_thousand(600) {
        1
    } else {
        lines.len() as u64
    };
    let line = lines.get(lines.len().checked_sub(1 + chance.below(back) as usize)?)?;
    let mut words = line.split(' ');
    let register = file.file_name().to_str()?.parse().ok()?;
    let (version, writer) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((register, version, writer, words.next()?.to_owned()))
}
