//! The cache compared with an uncached read, a bare GET of the same bytes, and the client-side
//! cache of redis-rs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::AsyncCommands as _;
use uuid::Uuid;
use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;
use wundr_db::{Cached, Db, Project, ProjectChanges, ProjectId, ProjectRepository as _, blocking};

use super::platform::{ids, platform};
use crate::Outcome;
use crate::database::World;
use crate::measure::{Group, Turn};

/// The number of bytes before the MessagePack of a value: a marker, the entry's identity, the cost
/// of the read, and the expiry.
const HEAD: usize = 21;

/// The number of cached rows.
const ROWS: usize = 512;

/// The prefix of the keys of encrypted values.
const SEALED: &str = "sealed";

/// A Redis server with cached projects, and the contenders that read them.
#[derive(Clone)]
struct Setting {
    redis: Arc<RedisServer>,
    db: Db,
    cached: Cached,
    blocking: blocking::Cached,
    near: Cached,
    /// All values are encrypted.
    sealed: Cached,
    bare: redis::aio::MultiplexedConnection,
    ids: Arc<Vec<ProjectId>>,
    /// The key of each project's value.
    keys: Arc<Vec<String>>,
}

impl Setting {
    fn new(world: &mut World) -> Outcome<Self> {
        let to = platform(world)?;
        let ids = ids(
            &mut to.diesel()?,
            "SELECT id FROM public.projects ORDER BY id",
        )?;
        let ids: Vec<ProjectId> = ids.into_iter().take(ROWS).map(ProjectId::from).collect();
        let redis = Arc::new(RedisServer::builder().listen_tcp().start()?);
        let url = redis.url();
        let config = || CacheConfig::new(&url);
        let db = to.wundr_async()?;
        let cached = Cached::new(db.clone(), config()?)?;
        let near = Cached::new(
            db.clone(),
            config()?.near(10_000, Duration::from_secs(3600)),
        )?;
        let sealed = Cached::new(db.clone(), config()?.prefix(SEALED).key([7; 32]))?;
        let blocking = blocking::Cached::new(to.wundr_blocking()?, config()?)?;
        let client = redis::Client::open(url.as_str())?;
        let bare = world
            .runtime
            .block_on(client.get_multiplexed_async_connection())?;
        let setting = Self {
            redis,
            db,
            cached,
            blocking,
            near,
            sealed,
            bare,
            ids: ids.into(),
            keys: Arc::default(),
        };
        world.runtime.block_on(setting.fill())
    }

    async fn fill(mut self) -> Outcome<Self> {
        // The first read begins a generation.
        for id in std::iter::once(&self.ids[0]).chain(self.ids.iter()) {
            self.cached.projects().find(*id).await?;
            self.near.projects().find(*id).await?;
            self.sealed.projects().find(*id).await?;
        }
        let mut found = HashMap::new();
        let keys: Vec<String> = self.bare.keys("*:project:*").await?;
        let plain = |key: &String| !key.starts_with(SEALED);
        for key in keys.into_iter().filter(plain) {
            let id = key
                .rsplit(':')
                .nth(1)
                .and_then(|id| Uuid::parse_str(id).ok());
            found.insert(ProjectId::from(id.ok_or("a key without an id")?), key);
        }
        let keys = self.ids.iter().map(|id| found.get(id).cloned());
        self.keys = Arc::new(
            keys.collect::<Option<_>>()
                .ok_or("a project is not cached")?,
        );
        Ok(self)
    }

    fn of(&self, number: usize) -> (ProjectId, &str) {
        let index = number % self.ids.len();
        (self.ids[index], &self.keys[index])
    }
}

fn decoded(bytes: &[u8]) -> Outcome<Project> {
    let project: Option<Project> = rmp_serde::from_slice(bytes.get(HEAD..).unwrap_or_default())?;
    Ok(project.ok_or("no such project")?)
}

/// Opens a connection with a client-side cache, which the server invalidates.
fn client_cache(world: &World, redis: &RedisServer) -> Outcome<redis::aio::MultiplexedConnection> {
    let url = redis.tcp_url().ok_or("the server does not listen")?;
    let client = redis::Client::open(format!("{url}/?protocol=resp3"))?;
    let config = redis::AsyncConnectionConfig::new()
        .set_cache_config(redis::caching::CacheConfig::default());
    Ok(world
        .runtime
        .block_on(client.get_multiplexed_async_connection_with_config(&config))?)
}

/// Runs tasks that share the operations of one round.
async fn together<F, W>(tasks: usize, turn: Turn, each: F) -> Outcome
where
    F: Fn(Vec<usize>) -> W,
    W: Future<Output = Outcome> + Send + 'static,
{
    let numbers: Vec<usize> = turn.numbers().collect();
    let share = numbers.len().div_ceil(tasks);
    let running: Vec<_> = numbers
        .chunks(share)
        .map(|chunk| tokio::spawn(each(chunk.to_vec())))
        .collect();
    for task in running {
        task.await??;
    }
    Ok(())
}

fn hits(world: &mut World, name: &'static str, tasks: usize, operations: usize) -> Outcome<Group> {
    let setting = Setting::new(world)?;
    let mut group = Group::new(name, "redis_get", 60, operations);
    group.task(
        "redis_get",
        setting.clone(),
        move |setting, turn| async move {
            together(tasks, turn, |numbers| {
                let setting = setting.clone();
                async move {
                    let mut bare = setting.bare.clone();
                    for number in numbers {
                        let (id, key) = setting.of(number);
                        let bytes: Vec<u8> = bare.get(key).await?;
                        assert_eq!(decoded(&bytes)?.id, id);
                    }
                    Ok(())
                }
            })
            .await
        },
    );
    let repositories = [
        ("wundr_async", Reader::Cached(setting.cached.clone())),
        ("wundr_sealed", Reader::Cached(setting.sealed.clone())),
        ("wundr_near", Reader::Cached(setting.near.clone())),
        ("uncached", Reader::Plain(setting.db.clone())),
    ];
    for (id, reader) in repositories {
        group.task(
            id,
            (setting.clone(), reader),
            move |(setting, reader), turn| async move {
                together(tasks, turn, |numbers| {
                    let (setting, reader) = (setting.clone(), reader.clone());
                    async move {
                        for number in numbers {
                            let (id, _) = setting.of(number);
                            let project = reader.find(id).await?;
                            assert_eq!(project.ok_or("no such project")?.id, id);
                        }
                        Ok(())
                    }
                })
                .await
            },
        );
    }
    let connection = client_cache(world, &setting.redis)?;
    group.task(
        "redis_client_cache",
        (setting.clone(), connection),
        move |(setting, connection), turn| async move {
            together(tasks, turn, |numbers| {
                let (setting, mut connection) = (setting.clone(), connection.clone());
                async move {
                    for number in numbers {
                        let (id, key) = setting.of(number);
                        let bytes: Vec<u8> = connection.get(key).await?;
                        assert_eq!(decoded(&bytes)?.id, id);
                    }
                    Ok(())
                }
            })
            .await
        },
    );
    if tasks == 1 {
        group.call("wundr_blocking", setting, |setting, turn| {
            move || {
                for number in turn.numbers() {
                    let (id, _) = setting.of(number);
                    let projects = setting.blocking.projects();
                    let project = blocking::ProjectRepository::find(&projects, id)?;
                    assert_eq!(project.ok_or("no such project")?.id, id);
                }
                Ok(())
            }
        });
    }
    Ok(group)
}

/// A handle that finds projects, with or without the cache.
#[derive(Clone)]
enum Reader {
    Plain(Db),
    Cached(Cached),
}

impl Reader {
    async fn find(&self, id: ProjectId) -> wundr_db::Result<Option<Project>> {
        match self {
            Self::Plain(db) => db.projects().find(id).await,
            Self::Cached(cached) => cached.projects().find(id).await,
        }
    }
}

pub fn cache_hit_1(world: &mut World) -> Outcome<Group> {
    hits(world, "cache_hit_1", 1, 2_000)
}

pub fn cache_hit_64(world: &mut World) -> Outcome<Group> {
    hits(world, "cache_hit_64", 64, 6_400)
}

/// Deletes the cached values before each round of the contenders so far.
fn emptied(group: &mut Group, setting: &Setting, runtime: tokio::runtime::Handle) {
    let (keys, bare) = (Arc::clone(&setting.keys), setting.bare.clone());
    group.restoring(move || {
        let mut bare = bare.clone();
        let _: usize = runtime.block_on(bare.del(&keys[..]))?;
        Ok(())
    });
}

pub fn cache_miss(world: &mut World) -> Outcome<Group> {
    let setting = Setting::new(world)?;
    let mut group = Group::new("cache_miss", "uncached", 40, 200);
    for (id, reader) in [
        ("uncached", Reader::Plain(setting.db.clone())),
        ("wundr_async", Reader::Cached(setting.cached.clone())),
    ] {
        group.task(
            id,
            (setting.clone(), reader),
            |(setting, reader), turn| async move {
                for number in turn.numbers() {
                    let (id, _) = setting.of(number);
                    assert_eq!(reader.find(id).await?.ok_or("no such project")?.id, id);
                }
                Ok(())
            },
        );
    }
    emptied(&mut group, &setting, world.runtime.handle().clone());
    Ok(group)
}

pub fn cache_write(world: &mut World) -> Outcome<Group> {
    let setting = Setting::new(world)?;
    let mut group = Group::new("cache_write", "uncached", 40, 100);
    let changes = |number: usize| ProjectChanges::new().name(format!("Project {number}"));
    group.task(
        "uncached",
        setting.clone(),
        move |setting, turn| async move {
            for number in turn.numbers() {
                setting
                    .db
                    .projects()
                    .update(setting.of(number).0, changes(number))
                    .await?;
            }
            Ok(())
        },
    );
    group.task(
        "wundr_async",
        setting.clone(),
        move |setting, turn| async move {
            for number in turn.numbers() {
                setting
                    .cached
                    .projects()
                    .update(setting.of(number).0, changes(number))
                    .await?;
            }
            Ok(())
        },
    );
    group.call("wundr_blocking", setting, move |setting, turn| {
        move || {
            for number in turn.numbers() {
                let projects = setting.blocking.projects();
                blocking::ProjectRepository::update(
                    &projects,
                    setting.of(number).0,
                    changes(number),
                )?;
            }
            Ok(())
        }
    });
    Ok(group)
}

/// The number of tasks that read the same row concurrently.
const READERS: usize = 1_000;

pub fn cache_stampede(world: &mut World) -> Outcome<Group> {
    let setting = Setting::new(world)?;
    let mut group = Group::new("cache_stampede", "uncached", 20, 1);
    for (id, reader) in [
        ("uncached", Reader::Plain(setting.db.clone())),
        ("wundr_async", Reader::Cached(setting.cached.clone())),
    ] {
        group.task(
            id,
            (setting.clone(), reader),
            |(setting, reader), turn| async move {
                let before = setting.cached.metrics();
                for number in turn.numbers() {
                    let (id, _) = setting.of(number);
                    let readers: Vec<_> = (0..READERS)
                        .map(|_| {
                            let reader = reader.clone();
                            tokio::spawn(async move { reader.find(id).await })
                        })
                        .collect();
                    for reader in readers {
                        assert_eq!(reader.await??.ok_or("no such project")?.id, id);
                    }
                }
                let after = setting.cached.metrics();
                let queries = after.misses + after.bypasses - before.misses - before.bypasses;
                assert!(queries <= turn.numbers().len() as u64, "{queries} queries");
                Ok(())
            },
        );
    }
    emptied(&mut group, &setting, world.runtime.handle().clone());
    Ok(group)
}
