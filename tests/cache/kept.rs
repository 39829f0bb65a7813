//! Futures that are kept without being polled block no other call. In the blocking engine a call
//! continues by itself.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use wundr_db::cache::CacheConfig;
use wundr_db::testing::{RedisServer, migrated_database};
use wundr_db::{
    AnalysisType, Config, ConfigCategory, ConfigurationScope, NewOrganization, NewProject, NewUser,
    NewUserSession, OrganizationId, ProjectId, SetupProfileId, ToolId, User, UserChanges, UserId,
};

use super::*;
use crate::servers::{self, REDIS, Raw};
use crate::wire::Wire;

include!("pair.rs");

/// Longer than any bound that is waited for, on a machine with other work to do.
const PATIENCE: Duration = Duration::from_secs(15);

type Kept = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls a future so many times, and lets the runtime go on between.
async fn poll_some(kept: &mut Kept, times: usize) -> bool {
    for _ in 0..times {
        let is_ready = poll_fn(|context| Poll::Ready(kept.as_mut().poll(context).is_ready())).await;
        if is_ready {
            return true;
        }
        tokio::task::yield_now().await;
        // Whatever it has asked for comes.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    false
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

fn find(db: &Cached, id: UserId) -> Kept {
    let db = db.clone();
    Box::pin(async move {
        let _ = db.users().find(id).await;
    })
}

#[case]
async fn two_reads_that_are_kept_stop_no_others() {
    for shards in [1, 64] {
        let redis = RedisServer::start().unwrap();
        let pair = pair(servers::of(&redis.url()).shards(shards)).await;
        let mut users = Vec::new();
        for _ in 0..20 {
            let user = user(&pair.one).await;
            let (hits, began) = (pair.other.metrics().hits, Instant::now());
            while pair.other.metrics().hits == hits {
                pair.other.users().find(user.id).await.unwrap();
                assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
            }
            users.push(user);
        }
        // As many of each entry as would take all places of its shard.
        let mut kept = Vec::new();
        for user in &users {
            for _ in 0..2 {
                let mut read = find(&pair.other, user.id);
                assert!(!poll_some(&mut read, 1).await);
                kept.push(read);
            }
        }
        let before = pair.other.metrics();
        for _ in 0..3 {
            let other = &pair.other;
            let finds = users.iter().map(|user| async move {
                let found = other.users().find(user.id).await.unwrap();
                assert_eq!(found.as_ref(), Some(user));
            });
            soon("many", futures_util::future::join_all(finds)).await;
        }
        let after = pair.other.metrics();
        assert_eq!(after.hits - before.hits, 60, "{after:?}");
        assert_eq!(after.errors, before.errors);
        // And when they go on, they are answered.
        for read in kept {
            soon("the kept ones", read).await;
        }
    }
}

#[case]
async fn a_reader_of_a_cold_entry_that_is_kept_stops_no_others() {
    let pair = pair(shared()).await;
    for polls in 1..12 {
        let ada = user(&pair.one).await;
        let mut kept = find(&pair.other, ada.id);
        if poll_some(&mut kept, polls).await {
            break;
        }
        for db in [&pair.other, &pair.one] {
            let found = soon("a cold entry", db.users().find(ada.id)).await;
            assert_eq!(found.unwrap().as_ref(), Some(&ada));
        }
        let renamed = UserChanges::new().name("Grace");
        let renamed = soon("a write", pair.other.users().update(ada.id, renamed)).await;
        let renamed = renamed.unwrap();
        // What it has read meanwhile is not stored.
        soon("the kept one", kept).await;
        let found = soon("a read", pair.one.users().find(ada.id)).await;
        assert_eq!(found.unwrap(), Some(renamed));
    }
}

/// A batch that is dropped leaves no leases, for which the next readers would wait.
#[case]
async fn a_batch_that_is_dropped_leaves_no_leases() {
    leaves_no_lease(|db| {
        Box::pin(async move {
            let ids: Vec<UserId> = (0..20).map(|_| UserId::new()).collect();
            let _ = db.users().find_many(&ids).await;
        })
    })
    .await;
}

/// Nor does a reader of one entry.
#[case]
async fn a_reader_that_is_dropped_leaves_no_lease() {
    leaves_no_lease(|db| find(&db, UserId::new())).await;
}

async fn leaves_no_lease(read: impl Fn(Cached) -> Kept) {
    let redis = RedisServer::start().unwrap();
    let config = servers::of(&redis.url()).lease(Duration::from_secs(3_600));
    let pair = pair(config.shards(3)).await;
    let mut raw = Raw::of(&redis.url());
    for polls in 1..30 {
        let mut read = read(pair.other.clone());
        let is_ready = poll_some(&mut read, polls).await;
        drop(read);
        let began = Instant::now();
        loop {
            let leases = raw.keys("*:lease");
            if leases.is_empty() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{leases:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if is_ready {
            break;
        }
    }
}

#[case]
async fn an_attach_that_is_kept_stops_neither_reads_nor_writes() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url()).response_timeout(Duration::from_millis(500))).await;
    let ada = user(&pair.one).await.id;
    for polls in 1..12 {
        let fresh = cached(
            &pair.database.url(),
            servers::of(&redis.url()).response_timeout(Duration::from_millis(500)),
        )
        .await;
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut read = find(&fresh, ada);
            poll_some(&mut read, polls).await;
            kept.push(read);
        }
        let changes = UserChanges::new().name(format!("Ada {polls}"));
        let renamed = soon("a write", fresh.users().update(ada, changes)).await;
        let renamed = renamed.unwrap();
        let found = soon("a read", fresh.users().find(ada)).await;
        assert_eq!(found.unwrap(), Some(renamed));
    }
}

/// Xorshift, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// The other reads.
#[derive(Clone, Copy)]
struct Others {
    organization: OrganizationId,
    project: ProjectId,
}

/// A read by each method that is cached.
fn any_read(db: &Cached, users: &[User], others: Others, random: &mut Random) -> Kept {
    let (db, user) = (db.clone(), users[random.below(users.len())].clone());
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let Others {
        organization,
        project,
    } = others;
    let scope = ConfigurationScope::Project(project);
    match random.below(19) {
        0 => find(&db, user.id),
        1 => Box::pin(async move {
            let _ = db.users().find_many(&ids).await;
        }),
        2 => Box::pin(async move {
            let _ = db.users().find_by_email(&user.email).await;
        }),
        3 => Box::pin(async move {
            let hash = user.id.to_string();
            let _ = db.user_sessions().find_by_token_hash(&hash).await;
        }),
        4 => Box::pin(async move {
            let _ = db.configurations().effective_all(scope, None).await;
        }),
        5 => Box::pin(async move {
            let category = ConfigCategory::ALL[0];
            let _ = db.configurations().effective(scope, category, "a").await;
        }),
        6 => Box::pin(async move {
            let category = ConfigCategory::ALL[0];
            let _ = db.configurations().find_by_name(scope, category, "a").await;
        }),
        7 => Box::pin(async move {
            let _ = db.organizations().find(organization).await;
        }),
        8 => Box::pin(async move {
            let ids = [organization, OrganizationId::new()];
            let _ = db.organizations().find_many(&ids).await;
        }),
        9 => Box::pin(async move {
            let _ = db.organizations().find_by_slug("lab").await;
        }),
        10 => Box::pin(async move {
            let members = db.organization_members();
            let _ = members.role_of(organization, user.id).await;
        }),
        11 => Box::pin(async move {
            let _ = db.projects().find_many(&[project, ProjectId::new()]).await;
        }),
        12 => Box::pin(async move {
            let _ = db.project_members().role_of(project, user.id).await;
        }),
        13 => Box::pin(async move {
            let _ = db.setup_profiles().find(SetupProfileId::new()).await;
        }),
        14 => Box::pin(async move {
            let _ = db.tools().find_many(&[ToolId::new(), ToolId::new()]).await;
        }),
        15 => Box::pin(async move {
            let _ = db.analyses().latest(project, AnalysisType::Quality).await;
        }),
        16 => Box::pin(async move {
            let _ = db.project_stats().find(project).await;
        }),
        17 => Box::pin(async move {
            let _ = db.trends().of_metric(project, "lines", 30).await;
        }),
        // Nobody has read it.
        _ => find(&db, UserId::new()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_kept_the_others_are_answered() {
    for (shards, seed) in [(1, 7), (64, 11)] {
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ seed);
        let redis = RedisServer::start().unwrap();
        let config = servers::of(&redis.url())
            .shards(shards)
            .response_timeout(Duration::from_millis(500));
        let pair = pair(config.clone()).await;
        // Each that is kept may keep a connection to the database.
        let url = pair.database.url();
        let many = Config::new(&url).unwrap().max_connections(80);
        let eve = user(&pair.one).await;
        let organization = NewOrganization::new("Lab", "lab");
        let organization = pair.one.organizations().create(organization).await.unwrap();
        let project = NewProject::new("Flask", eve.id).organization_id(organization.id);
        let others = Others {
            organization: organization.id,
            project: pair.one.projects().create(project).await.unwrap().id,
        };
        let db = Cached::new(Db::connect(many).await.unwrap(), config).unwrap();
        let mut users = Vec::new();
        for _ in 0..8 {
            let user = user(&pair.one).await;
            let end = chrono::Utc::now() + chrono::TimeDelta::hours(1);
            let session = NewUserSession::new(user.id, user.id.to_string(), end);
            pair.one.user_sessions().create(session).await.unwrap();
            users.push(user);
        }
        let mut kept = Vec::new();
        let mut is_written = false;
        let began = Instant::now();
        while kept.len() < 60 && began.elapsed() < PATIENCE * 4 {
            if random.below(10) == 0 {
                let mut raw = Raw::of(&redis.url());
                let _: u32 = raw.ask("CLIENT KILL TYPE normal");
            }
            let mut read = any_read(&db, &users, others, &mut random);
            let polls = 1 + random.below(8);
            if !poll_some(&mut read, polls).await {
                kept.push(read);
            }
            // A write that is kept may keep its row locked, so that there is only one.
            if random.below(20) == 0 && !is_written {
                let (db, changes) = (db.clone(), UserChanges::new().name("Eve"));
                let mut write: Kept = Box::pin(async move {
                    let _ = db.users().update(eve.id, changes).await;
                });
                if !poll_some(&mut write, polls).await {
                    kept.push(write);
                    is_written = true;
                }
            }
            for reader in [&db, &pair.one] {
                let found = soon("a read", reader.users().find(eve.id)).await;
                assert!(["Ada", "Eve"].contains(&found.unwrap().unwrap().name.as_str()));
                let found = soon("a read", reader.projects().find(others.project)).await;
                assert!(found.unwrap().is_some());
            }
            if random.below(3) == 0 {
                let index = random.below(users.len());
                let id = users[index].id;
                let changes = UserChanges::new().name(format!("Ada {}", kept.len()));
                users[index] = soon("a write", db.users().update(id, changes))
                    .await
                    .unwrap();
            }
            let user = &users[random.below(users.len())];
            let found = soon("a read", db.users().find(user.id)).await;
            assert_eq!(found.unwrap().as_ref(), Some(user));
        }
        assert!(kept.len() >= 20, "{} were kept", kept.len());
        for user in &users {
            let hash = user.id.to_string();
            let session = soon("a session", db.user_sessions().find_by_token_hash(&hash)).await;
            assert!(session.unwrap().is_some());
        }
    }
}
