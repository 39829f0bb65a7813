use super::*;
use std::net::IpAddr;

use chrono::{DateTime, Days, Utc};
use diesel::prelude::{Connection, PgConnection, QueryableByName};
use serde_json::json;
use uuid::Uuid;
use wundr_db::testing::TestDatabase;
use wundr_db::{
    AuditAction, AuditLogFilter, AuditLogId, AuditLogOrder, Error, LogTable, NewAuditLog, NewUser,
    OrganizationId, Page, UserId,
};

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The partitions that an open transaction has had to look at: the server keeps their indexes
/// locked until it ends.
fn partitions_read(database: &TestDatabase) -> Vec<String> {
    partitions_locked(
        database,
        "JOIN pg_index ON indexrelid = relation JOIN pg_inherits ON inhrelid = indrelid",
    )
}

/// The partitions that an open transaction has had to lock, to look at them or not.
fn partitions_named(database: &TestDatabase) -> Vec<String> {
    partitions_locked(database, "JOIN pg_inherits ON inhrelid = relation")
}

fn partitions_locked(database: &TestDatabase, by: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
    }
    let locks = diesel::sql_query(format!(
        "SELECT DISTINCT inhrelid::regclass::text AS name FROM pg_locks {by} \
         AND inhparent = 'audit.audit_logs'::regclass \
         JOIN pg_database ON pg_database.oid = database AND datname = current_database() \
         WHERE pid <> pg_backend_pid()",
    ));
    let mut connection = PgConnection::establish(&database.url()).unwrap();
    let locked: Vec<Locked> = diesel::RunQueryDsl::load(locks, &mut connection).unwrap();
    locked.into_iter().map(|locked| locked.name).collect()
}

#[both_engines]
#[case]
async fn what_is_written_is_found() {
    let (db, _database) = database().await;
    let logs = db.audit_logs();
    let ada = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await
        .unwrap();
    let new = NewAuditLog::new(AuditAction::Update, "user")
        .user_id(ada.id)
        .resource_id(ada.id)
        .old_values(json!({"name": "Ada"}))
        .new_values(json!({"name": "Lovelace"}))
        .ip_address("2001:db8::1".parse::<IpAddr>().unwrap())
        .user_agent("curl/8");

    let entry = logs.create(new.clone()).await.unwrap();

    assert_eq!((entry.id, entry.user_id), (new.id, Some(ada.id)));
    assert_eq!(entry.resource_id, Some(ada.id.into()));
    assert_eq!(entry.ip_address, new.ip_address);
    assert_eq!(
        (&entry.new_values, &entry.metadata),
        (&new.new_values, &json!({}).into())
    );
    assert!((Utc::now() - entry.created_at).num_seconds().abs() < 60);
    assert_eq!(logs.find(entry.id).await.unwrap(), Some(entry.clone()));
    assert!(logs.exists(entry.id).await.unwrap());
    let nothing = AuditLogId::new();
    assert_eq!(logs.find(nothing).await.unwrap(), None);
    assert!(!logs.exists(nothing).await.unwrap());
    let answers = logs.find_many(&[nothing, entry.id, entry.id]).await;
    assert_eq!(answers.unwrap(), [None, Some(entry.clone()), Some(entry)]);
    assert_eq!(logs.find_many(&[]).await.unwrap(), []);
}

#[both_engines]
#[case]
async fn an_entry_is_found_however_far_its_time_is_from_its_id() {
    let (db, _database) = database().await;
    let logs = db.audit_logs();
    let imported = NewAuditLog::new(AuditAction::Read, "project");
    let imported = logs
        .create(imported.created_at(time("2019-12-31T23:59:59.999999Z")))
        .await
        .unwrap();
    let of_another_client = NewAuditLog::new(AuditAction::Read, "project")
        .id(Uuid::from_u128(0x4000_8000_0000_0000_0000));
    assert_eq!(of_another_client.id.created_at(), None);
    let foreign = logs.create(of_another_client).await.unwrap();

    let found = logs.find(imported.id).await.unwrap();
    assert_eq!(found, Some(imported.clone()));
    assert_eq!(logs.find(foreign.id).await.unwrap(), Some(foreign.clone()));
    assert!(logs.exists(imported.id).await.unwrap() && logs.exists(foreign.id).await.unwrap());
    let ids = [foreign.id, AuditLogId::new(), imported.id];
    let answers = logs.find_many(&ids).await.unwrap();
    assert_eq!(answers, [Some(foreign), None, Some(imported)]);
}

#[both_engines]
#[case]
async fn an_entry_by_id_is_looked_for_in_the_months_around_it_alone() {
    let (db, database) = database().await;
    db.partitions()
        .ensure(LogTable::AuditLogs, 11)
        .await
        .unwrap();
    let entry = NewAuditLog::new(AuditAction::Login, "user");
    let id = db.audit_logs().create(entry).await.unwrap().id;
    let months_ago = Utc::now() - Days::new(100);
    db.partitions()
        .create(LogTable::AuditLogs, months_ago.date_naive())
        .await
        .unwrap();
    let seconds = u64::try_from(months_ago.timestamp()).unwrap();
    let then = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
    let earlier = NewAuditLog::new(AuditAction::Login, "user")
        .id(Uuid::new_v7(then))
        .created_at(months_ago);
    let earlier = db.audit_logs().create(earlier).await.unwrap().id;
    // The server plans the first calls one by one, and looks at every partition's indexes for that.
    for _ in 0..6 {
        assert!(db.audit_logs().find(earlier).await.unwrap().is_some());
        assert!(db.audit_logs().find(id).await.unwrap().is_some());
        assert!(db.audit_logs().exists(id).await.unwrap());
        let found = db.audit_logs().find_many(&[id, id]).await.unwrap();
        assert!(found[1].is_some());
    }

    let read = db.transaction(async |tx| {
        assert!(tx.audit_logs().find(id).await?.is_some());
        assert!(tx.audit_logs().exists(id).await?);
        let named = partitions_named(&database);
        assert!(matches!(named.len(), 1 | 2), "{named:?}");
        assert!(tx.audit_logs().find_many(&[id, id]).await?[1].is_some());
        Ok::<_, Error>(partitions_read(&database))
    });
    let read = read.await.unwrap();
    assert!(matches!(read.len(), 1 | 2), "{read:?}");

    let named = db.transaction(async |tx| {
        assert!(tx.audit_logs().find(earlier).await?.is_some());
        Ok::<_, Error>(partitions_named(&database))
    });
    let named = named.await.unwrap();
    assert!(matches!(named.len(), 1 | 2), "{named:?}");

    let read = db.transaction(async |tx| {
        assert!(tx.audit_logs().find(AuditLogId::new()).await?.is_none());
        Ok::<_, Error>(partitions_read(&database))
    });
    assert_eq!(read.await.unwrap().len(), 14);
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_and_count() {
    let (db, _database) = database().await;
    let logs = db.audit_logs();
    let ada = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await
        .unwrap();
    let thing = Uuid::from_u128(7);
    let first = time("2024-01-31T22:00:00Z");
    let actions = [
        AuditAction::Create,
        AuditAction::Update,
        AuditAction::Delete,
    ];
    let new: Vec<_> = (0..6)
        .map(|n| {
            let entry = NewAuditLog::new(actions[n % 3], if n < 4 { "project" } else { "user" })
                .created_at(first + chrono::TimeDelta::hours(n as i64));
            if n % 2 == 0 {
                entry.resource_id(thing).user_id(ada.id)
            } else {
                entry
            }
        })
        .collect();
    assert_eq!(logs.create_many(&new).await.unwrap(), 6);
    assert_eq!(logs.create_many(&[]).await.unwrap(), 0);

    let all = AuditLogFilter::new();
    let at = |hours| first + chrono::TimeDelta::hours(hours);
    for (filter, number) in [
        (all.clone(), 6),
        (all.clone().user_id(ada.id), 3),
        (all.clone().user_id(UserId::new()), 0),
        (all.clone().organization_id(OrganizationId::new()), 0),
        (all.clone().actions([AuditAction::Update]), 2),
        (all.clone().actions([]), 0),
        (all.clone().actions(None::<Vec<AuditAction>>), 6),
        (
            all.clone()
                .actions([AuditAction::Update, AuditAction::Delete]),
            4,
        ),
        (all.clone().resource_type("project"), 4),
        (all.clone().resource_type("project").resource_id(thing), 2),
        (all.clone().created_from(at(2)), 4),
        (all.clone().created_before(at(2)), 2),
        (all.clone().created_from(at(1)).created_before(at(5)), 4),
    ] {
        assert_eq!(logs.count(&filter).await.unwrap(), number, "{filter:?}");
    }

    let page = Page::new().limit(4).with_total();
    let newest = logs.list(&all, &page).await.unwrap();
    assert_eq!(newest.total, Some(6));
    let rest = page.after(newest.next.unwrap());
    let rest = logs.list(&all, &rest).await.unwrap().items;
    let listed = newest.items.iter().chain(&rest).map(|entry| entry.id);
    let ids: Vec<_> = new.iter().map(|entry| entry.id).collect();
    assert!(listed.eq(ids.iter().rev().copied()));
    let oldest = Page::new().limit(1).order(AuditLogOrder::Oldest);
    let oldest = logs.list(&all, &oldest).await.unwrap();
    assert_eq!(oldest.items[0].id, ids[0]);
}

#[both_engines]
#[case]
async fn a_refused_entry_says_why() {
    let (db, _database) = database().await;
    let logs = db.audit_logs();
    let login = || NewAuditLog::new(AuditAction::Login, "user");

    let absent = logs
        .create(login().user_id(UserId::new()))
        .await
        .unwrap_err();
    assert!(matches!(absent, Error::MissingReference(_)), "{absent:?}");
    let nowhere = login().organization_id(OrganizationId::new());
    let nowhere = logs.create(nowhere).await.unwrap_err();
    assert!(matches!(nowhere, Error::MissingReference(_)), "{nowhere:?}");
    let long = NewAuditLog::new(AuditAction::Read, "x".repeat(101));
    let long = [login(), long];
    assert!(matches!(
        logs.create_many(&long).await,
        Err(Error::InvalidInput { field, .. }) if field == "resource_type"
    ));
    assert_eq!(logs.count(&AuditLogFilter::new()).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn an_entry_lives_and_dies_with_its_transaction() {
    let (db, _database) = database().await;
    let entry = NewAuditLog::new(AuditAction::Delete, "user");
    let id = entry.id;

    let refused = db.transaction(async |tx| {
        tx.audit_logs().create(entry).await?;
        assert!(tx.audit_logs().exists(id).await?);
        Err::<(), _>(Error::NotFound { what: "User" })
    });
    assert!(refused.await.is_err());
    assert!(!db.audit_logs().exists(id).await.unwrap());
    let yesterday = Utc::now().checked_sub_days(Days::new(1)).unwrap();
    let recent = AuditLogFilter::new().created_from(yesterday);
    assert_eq!(db.audit_logs().count(&recent).await.unwrap(), 0);
}
