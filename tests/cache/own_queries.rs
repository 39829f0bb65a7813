//! The caller's own streams behind the cache. In the blocking engine there are none.

use diesel::{ExpressionMethods as _, QueryDsl as _};
use futures_util::TryStreamExt as _;
use wundr_db::schema::public::users;
use wundr_db::testing::migrated_database;
use wundr_db::{Error, NewUser};

use super::*;
use crate::servers::{self, REDIS};

/// The stream runs in a transaction, which the setting outlives.
#[case]
async fn nothing_of_the_session_is_left_by_a_stream_of_the_caller() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    let cached = Cached::new(db.clone(), servers::of(&REDIS.url())).unwrap();
    let text = |sql| diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(sql));
    let memory = async || -> Vec<String> {
        let memory = db.stream(text("pg_catalog.current_setting('work_mem')"));
        memory.try_collect().await.unwrap()
    };
    let before = memory().await;
    let set = cached.stream(text("pg_catalog.set_config('work_mem', '77MB', false)"));
    let set: Vec<String> = set.try_collect().await.unwrap();
    assert_eq!(set, ["77MB"]);
    assert_eq!(memory().await, before);
}

/// The write would not be fenced: the cache would go on to return the earlier row.
#[case]
async fn a_stream_of_the_caller_does_not_write() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let cached = Cached::new(db.clone(), servers::of(&REDIS.url())).unwrap();
    let ada = cached.users().create(NewUser::new("a@x", "Ada")).await;
    let ada = ada.unwrap();
    for _ in 0..2 {
        assert_eq!(
            cached.users().find(ada.id).await.unwrap().unwrap().name,
            "Ada"
        );
    }
    let rename = || {
        diesel::update(users::table)
            .set(users::name.eq("Grace"))
            .returning(users::name)
    };
    let refused = cached
        .stream::<_, String>(rename())
        .try_collect::<Vec<_>>()
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    let names = cached.stream::<_, String>(users::table.select(users::name));
    let names: Vec<_> = names.try_collect().await.unwrap();
    assert_eq!(names, ["Ada"]);
    assert_eq!(
        cached.users().find(ada.id).await.unwrap().unwrap().name,
        "Ada"
    );
    // Neither is the pool's connection lost by it, nor are writes that are fenced refused.
    let renamed = cached
        .run(async |connection| -> wundr_db::Result<Vec<String>> {
            Ok(diesel_async::RunQueryDsl::load(rename(), connection).await?)
        })
        .await;
    assert_eq!(renamed.unwrap(), ["Grace"]);
    assert_eq!(
        cached.users().find(ada.id).await.unwrap().unwrap().name,
        "Grace"
    );
    // Without the cache, a stream may write.
    let written = db.stream::<_, String>(rename());
    assert_eq!(written.try_collect::<Vec<_>>().await.unwrap(), ["Grace"]);
}
