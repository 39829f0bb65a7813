//! The audit log in 24 monthly partitions, compared with the design's table with the same rows and
//! without partitions. That is a plain table with a key by id, which is optimal for reading by id,
//! but no month can be dropped from it.

use std::sync::Arc;

use chrono::{DateTime, Days, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::{RunQueryDsl as _, sql_query};
use wundr_db::{AuditLogFilter, AuditLogId, AuditLogRepository as _, Page, blocking};

use super::platform::{V7, ids};
use super::reads::Keys;
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::Group;
use crate::rows::{AUDIT_LOG, AuditLog, decoded};

const FILL: &str = include_str!("../../data/log.sql");

/// The partitioned log and the plain one.
fn databases(world: &mut World) -> Outcome<(Arc<Connector>, Arc<Connector>)> {
    let to = world.migrated("log", |connection| {
        let months = "SELECT audit.create_monthly_partition('audit.audit_logs', (CURRENT_DATE - back)::DATE) \
            FROM (SELECT make_interval(months => n) AS back FROM generate_series(0, 24) AS n) AS months";
        sql_query(months).execute(connection)?;
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(FILL)?)
    })?;
    let plain = world.designed("design's log", |connection| {
        connection.batch_execute("DROP TABLE audit_logs_template, audit_logs_2024_01")?;
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(FILL)?)
    })?;
    Ok((to, plain))
}

pub fn log_by_id(world: &mut World) -> Outcome<Group> {
    let (to, plain) = databases(world)?;
    let thousand =
        "SELECT id FROM audit_logs WHERE id::TEXT LIKE '%00' ORDER BY md5(id::TEXT) LIMIT 1000";
    let ours = Keys(ids(&mut to.diesel()?, thousand)?.into());
    let theirs = Keys(ids(&mut plain.diesel()?, thousand)?.into());
    let sql = format!("SELECT {AUDIT_LOG} FROM audit_logs WHERE id = $1");

    let mut group = Group::new("log_by_id", "plain_table", 300, 100);
    // "tokio_postgres" reads the partitioned log by id alone, which is the cost for a client
    // without the entry's time.
    for (id, to, keys) in [
        ("plain_table", &plain, theirs),
        ("tokio_postgres", &to, ours.clone()),
    ] {
        let client = to.tokio_postgres(&world.runtime)?;
        let statement = world.runtime.block_on(client.prepare(&sql))?;
        group.task(
            id,
            (client, statement, keys),
            |(client, statement, keys), turn| async move {
                for key in keys.of(turn) {
                    let row = client.query_one(&statement, &[&key]).await?;
                    assert_eq!(AuditLog::try_from(&row)?.id, key);
                }
                Ok(())
            },
        );
    }
    group.task(
        "wundr_async",
        (to.wundr_async()?, ours.clone()),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let entry = db.audit_logs().find(AuditLogId::from(key)).await?;
                assert_eq!(*entry.ok_or("no such entry")?.id.as_uuid(), key);
            }
            Ok(())
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, ours),
        |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let entry = blocking::AuditLogRepository::find(
                        &db.audit_logs(),
                        AuditLogId::from(key),
                    )?;
                    assert_eq!(*entry.ok_or("no such entry")?.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    Ok(group)
}

/// Measures reading the newest 50 entries of the last seven days.
pub fn log_last_week(world: &mut World) -> Outcome<Group> {
    let (to, plain) = databases(world)?;
    let sql = format!(
        "SELECT {AUDIT_LOG} FROM audit_logs WHERE created_at >= $1 ORDER BY created_at DESC, id DESC LIMIT 50"
    );

    let mut group = Group::new("log_last_week", "plain_table", 60, 50);
    for (id, to) in [("plain_table", &plain), ("tokio_postgres", &to)] {
        let client = to.tokio_postgres(&world.runtime)?;
        let statement = world.runtime.block_on(client.prepare(&sql))?;
        group.task(
            id,
            (client, statement),
            |(client, statement), turn| async move {
                for _ in turn.numbers() {
                    let rows = client.query(&statement, &[&a_week_ago()]).await?;
                    assert_eq!(decoded::<AuditLog>(&rows)?.len(), 50);
                }
                Ok(())
            },
        );
    }
    group.task("wundr_async", to.wundr_async()?, |db, turn| async move {
        for _ in turn.numbers() {
            let filter = AuditLogFilter::new().created_from(a_week_ago());
            let page = db
                .audit_logs()
                .list(&filter, &Page::new().limit(50))
                .await?;
            assert_eq!(page.items.len(), 50);
        }
        Ok(())
    });
    group.call("wundr_blocking", to.wundr_blocking()?, |db, turn| {
        move || {
            for _ in turn.numbers() {
                let filter = AuditLogFilter::new().created_from(a_week_ago());
                let log = db.audit_logs();
                let page =
                    blocking::AuditLogRepository::list(&log, &filter, &Page::new().limit(50))?;
                assert_eq!(page.items.len(), 50);
            }
            Ok(())
        }
    });
    Ok(group)
}

fn a_week_ago() -> DateTime<Utc> {
    Utc::now() - Days::new(7)
}
