use super::*;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;
use wundr_db::{
    Error, LogLevel, NewSystemLog, NewUser, Page, SystemLogFilter, SystemLogId, SystemLogOrder,
    UserId,
};

#[both_engines]
#[case]
async fn what_is_written_is_found() {
    let (db, _database) = database().await;
    let logs = db.system_logs();
    let request = Uuid::from_u128(1);
    let new = NewSystemLog::new(LogLevel::Warn, "api", "slow query")
        .component("projects")
        .data(json!({"ms": 1200}))
        .request_id(request);

    let line = logs.create(new.clone()).await.unwrap();

    assert_eq!((line.id, line.level), (new.id, LogLevel::Warn));
    assert_eq!((&line.data, line.request_id), (&new.data, Some(request)));
    assert!((Utc::now() - line.created_at).num_seconds().abs() < 60);
    assert_eq!(logs.find(line.id).await.unwrap(), Some(line.clone()));
    assert!(logs.exists(line.id).await.unwrap());
    let nothing = SystemLogId::new();
    assert_eq!(logs.find(nothing).await.unwrap(), None);
    assert!(!logs.exists(nothing).await.unwrap());
    let answers = logs.find_many(&[line.id, nothing]).await.unwrap();
    assert_eq!(answers, [Some(line), None]);
}

#[both_engines]
#[case]
async fn a_line_is_found_however_far_its_time_is_from_its_id() {
    let (db, _database) = database().await;
    let logs = db.system_logs();
    let new_year: DateTime<Utc> = "2020-01-01T00:00:00Z".parse().unwrap();
    let imported = NewSystemLog::new(LogLevel::Info, "api", "started").created_at(new_year);
    let imported = logs.create(imported).await.unwrap();

    let found = logs.find(imported.id).await.unwrap();
    assert_eq!(found, Some(imported.clone()));
    assert!(logs.exists(imported.id).await.unwrap());
    let answers = logs.find_many(&[imported.id]).await.unwrap();
    assert_eq!(answers, [Some(imported)]);
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_and_count() {
    let (db, _database) = database().await;
    let logs = db.system_logs();
    let ada = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await
        .unwrap();
    let (work, request) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let first: DateTime<Utc> = "2024-01-31T22:00:00Z".parse().unwrap();
    let at = |hours| first + TimeDelta::hours(hours);
    let new: Vec<_> = LogLevel::ALL
        .iter()
        .zip(0..)
        .map(|(&level, n)| {
            let line = NewSystemLog::new(level, "api", format!("{n}% done")).created_at(at(n));
            match n {
                0 => line.component("queue").user_id(ada.id),
                1 | 2 => line.correlation_id(work),
                _ => line.request_id(request),
            }
        })
        .collect();
    assert_eq!(logs.create_many(&new).await.unwrap(), 5);

    let all = SystemLogFilter::new();
    for (filter, number) in [
        (all.clone(), 5),
        (all.clone().level(LogLevel::Warn), 1),
        (all.clone().at_least(LogLevel::Debug), 5),
        (all.clone().at_least(LogLevel::Error), 2),
        (all.clone().service("api"), 5),
        (all.clone().service("worker"), 0),
        (all.clone().component("queue"), 1),
        (all.clone().correlation_id(work), 2),
        (all.clone().request_id(request), 2),
        (all.clone().user_id(ada.id), 1),
        (all.clone().search("4% DONE"), 1),
        (all.clone().search("4_ done"), 0),
        (all.clone().created_from(at(3)), 2),
        (all.clone().created_from(at(1)).created_before(at(3)), 2),
    ] {
        assert_eq!(logs.count(&filter).await.unwrap(), number, "{filter:?}");
    }

    let grave = all.clone().at_least(LogLevel::Error);
    let page = Page::new().with_total();
    let listed = logs.list(&grave, &page).await.unwrap();
    assert_eq!(
        (listed.items[0].level, listed.total),
        (LogLevel::Fatal, Some(2))
    );
    let oldest = Page::new().limit(1).order(SystemLogOrder::Oldest);
    let oldest = logs.list(&all, &oldest).await.unwrap();
    assert_eq!(oldest.items[0].level, LogLevel::Debug);
}

#[both_engines]
#[case]
async fn a_refused_line_says_why() {
    let (db, _database) = database().await;
    let logs = db.system_logs();
    let line = |service: &str| NewSystemLog::new(LogLevel::Info, service, "started");

    let absent = logs.create(line("api").user_id(UserId::new())).await;
    assert!(
        matches!(absent, Err(Error::MissingReference(_))),
        "{absent:?}"
    );
    assert!(matches!(
        logs.create(line(&"x".repeat(101))).await,
        Err(Error::InvalidInput { field, .. }) if field == "service"
    ));
    assert_eq!(logs.count(&SystemLogFilter::new()).await.unwrap(), 0);
}
