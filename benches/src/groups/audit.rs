//! Writing one row with an entry in the audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::SimpleConnection as _;
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use wundr_db::{
    Actor, Config, ProjectChanges, ProjectId, ProjectRepository as _, Table, UserId, blocking,
};

use super::platform::{V7, ids, platform};
use super::reads::Keys;
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::{Group, Turn};

/// An update without an entry.
const BY_HAND_UNAUDITED: &str =
    "UPDATE public.projects SET description = $2 WHERE id = $1 RETURNING id";

/// An update with its entry, by one statement: the old value, the new value, the entry.
const BY_HAND: &str = "WITH old AS (SELECT id, description FROM public.projects WHERE id = $1 FOR UPDATE), \
     new AS (UPDATE public.projects AS p SET description = $2 FROM old WHERE p.id = old.id \
         RETURNING p.id, old.description AS before, p.description AS after) \
     INSERT INTO audit.audit_logs (id, user_id, action, resource_type, resource_id, old_values, \
         new_values, metadata, ip_address, user_agent) \
     SELECT $3, $4, 'update', 'project', id, jsonb_build_object('description', before), \
         jsonb_build_object('description', after), jsonb_build_object('request', $5::uuid), \
         '192.0.2.1', 'benchmark' FROM new RETURNING resource_id";

fn watched(world: &mut World) -> Outcome<Arc<Connector>> {
    let to = world.migrated("audited", |connection| {
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(include_str!("../../data/platform.sql"))?)
    })?;
    let owner = Config::new(to.url())?;
    blocking::audit::watch(&owner, Table::Projects, &["name", "description", "status"])?;
    Ok(to)
}

/// Measures updating a project with an entry in the audit log, relative to the update in a
/// transaction without one.
///
/// Each contender in a transaction has its own counterpart without an entry. The calls outside a
/// transaction have one round trip in place of three.
pub fn audited_update(world: &mut World) -> Outcome<Group> {
    let plain = platform(world)?;
    let watched = watched(world)?;
    let keys_of = |to: &Arc<Connector>| -> Outcome<Keys> {
        let query = "SELECT id FROM public.projects ORDER BY id";
        Ok(Keys(ids(&mut to.diesel()?, query)?.into()))
    };
    let user_of = |to: &Arc<Connector>| -> Outcome<Uuid> {
        Ok(ids(
            &mut to.diesel()?,
            "SELECT id FROM public.users ORDER BY id LIMIT 1",
        )?[0])
    };
    let actor = |user: Uuid| Actor {
        user: Some(UserId::from(user)),
        ip: "192.0.2.1".parse().ok(),
        user_agent: Some("benchmark".to_owned()),
        request: Some(Uuid::now_v7()),
        ..Actor::default()
    };
    // Each text differs: an update that changes nothing leaves no entry.
    static TEXTS: AtomicU64 = AtomicU64::new(0);
    let changes = |turn: Turn| -> Vec<ProjectChanges> {
        turn.numbers()
            .map(|_| {
                let number = TEXTS.fetch_add(1, Ordering::Relaxed);
                ProjectChanges::new().description(format!("Described for the {number}th time"))
            })
            .collect()
    };
    let user = user_of(&watched)?;

    let mut group = Group::new("audited_update", "in_transaction", 300, 50);
    let contenders = [
        ("in_transaction", plain.wundr_async()?, keys_of(&plain)?),
        (
            "unwatched",
            plain.wundr_async()?.acting_as(actor(user_of(&plain)?)),
            keys_of(&plain)?,
        ),
        (
            "wundr_async",
            watched.wundr_async()?.acting_as(actor(user)),
            keys_of(&watched)?,
        ),
    ];
    for (name, db, keys) in contenders {
        group.task(name, (db, keys), move |(db, keys), turn| {
            let changes = changes(turn);
            async move {
                for (key, changes) in keys.of(turn).zip(changes) {
                    let project = db
                        .transaction(async |tx| {
                            tx.projects().update(ProjectId::from(key), changes).await
                        })
                        .await?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        });
    }
    group.task(
        "autocommit",
        (
            watched.wundr_async()?.acting_as(actor(user)),
            keys_of(&watched)?,
        ),
        move |(db, keys), turn| {
            let changes = changes(turn);
            async move {
                for (key, changes) in keys.of(turn).zip(changes) {
                    let project = db.projects().update(ProjectId::from(key), changes).await?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    let blocking_contenders = [
        (
            "blocking_in_transaction",
            plain.wundr_blocking()?,
            keys_of(&plain)?,
        ),
        (
            "wundr_blocking",
            watched.wundr_blocking()?.acting_as(actor(user)),
            keys_of(&watched)?,
        ),
    ];
    for (name, db, keys) in blocking_contenders {
        group.call(name, (db, keys), move |(db, keys), turn| {
            let changes = changes(turn);
            move || {
                for (key, changes) in keys.of(turn).zip(changes) {
                    let project = db.transaction(|tx| {
                        blocking::ProjectRepository::update(
                            &tx.projects(),
                            ProjectId::from(key),
                            changes,
                        )
                    })?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        });
    }
    group.call(
        "blocking_autocommit",
        (
            watched.wundr_blocking()?.acting_as(actor(user)),
            keys_of(&watched)?,
        ),
        move |(db, keys), turn| {
            let changes = changes(turn);
            move || {
                for (key, changes) in keys.of(turn).zip(changes) {
                    let project = blocking::ProjectRepository::update(
                        &db.projects(),
                        ProjectId::from(key),
                        changes,
                    )?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    let by = user_of(&plain)?;
    for (name, sql) in [
        ("tokio_postgres_in_transaction", BY_HAND_UNAUDITED),
        ("tokio_postgres", BY_HAND),
    ] {
        let client = plain.tokio_postgres(&world.runtime)?;
        let statement = world.runtime.block_on(client.prepare(sql))?;
        group.task(
            name,
            (client, statement, keys_of(&plain)?),
            move |(client, statement, keys), turn| async move {
                let is_audited = statement.params().len() > 2;
                for (key, number) in keys.of(turn).zip(turn.numbers()) {
                    let description = format!("Described for the {number}th time");
                    client.batch_execute("BEGIN").await?;
                    let (id, request) = (Uuid::now_v7(), Uuid::now_v7());
                    let binds: &[&(dyn ToSql + Sync)] = &[&key, &description, &id, &by, &request];
                    let binds = if is_audited { binds } else { &binds[..2] };
                    let row = client.query_one(&statement, binds).await?;
                    client.batch_execute("COMMIT").await?;
                    assert_eq!(row.get::<_, Uuid>(0), key);
                }
                Ok(())
            },
        );
    }
    Ok(group)
}
