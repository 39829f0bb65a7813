use super::*;
use serde_json::{Value, json};
use wundr_db::{
    Actor, AuditAction, AuditDifference, AuditLog, AuditLogFilter, AuditLogId, AuditVerdict,
    Config, IntegrationType, NewAuditLog, NewIntegration, NewProject, Page, Secret, Table,
    UserChanges, UserFilter, UserRole,
};

/// The settings of the migrating role.
fn owner(database: &TestDatabase) -> Config {
    Config::new(&database.url()).unwrap()
}

#[both_engines]
async fn watch(database: &TestDatabase, table: Table, columns: &[&str]) {
    audit::watch(&owner(database), table, columns)
        .await
        .unwrap();
}

fn time(text: &str) -> chrono::DateTime<chrono::Utc> {
    text.parse().unwrap()
}

/// The entries, oldest first.
#[both_engines]
async fn entries(db: &Db) -> Vec<AuditLog> {
    let page = Page::new().limit(100);
    let all = db.audit_logs().list(&AuditLogFilter::new(), &page).await;
    let mut entries = all.unwrap().items;
    // Entries of one transaction have the same time.
    entries.sort_by_key(|entry| (entry.created_at, entry.id.created_at()));
    entries
}

/// An actor with everything.
#[both_engines]
async fn actor(db: &Db) -> Actor {
    Actor {
        user: Some(user(db).await.id),
        organization: Some(organization(db).await.id),
        ip: Some("192.0.2.1".parse().unwrap()),
        user_agent: Some(r"Bobby'); DROP TABLE users; -- \' 𝄞".to_owned()),
        request: Some(uuid::Uuid::now_v7()),
    }
}

fn json_of(values: &Option<wundr_db::Document>) -> Value {
    let text = values.as_ref().map(|values| values.text().to_owned());
    text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

#[both_engines]
#[case]
async fn a_change_of_a_watched_table_is_recorded_with_its_actor() {
    let (db, database) = database().await;
    let actor = actor(&db).await;
    let acting = db.acting_as(actor.clone());
    acting
        .users()
        .create(NewUser::new("eve@x", "Eve"))
        .await
        .unwrap();
    assert_eq!(entries(&db).await, [], "before the table is watched");

    watch(&database, Table::Users, &["email", "role"]).await;
    let users = acting.users();
    let ada = users.create(NewUser::new("ada@x", "Ada")).await.unwrap().id;
    users
        .update(ada, UserChanges::new().email("countess@x").name("Countess"))
        .await
        .unwrap();
    users
        .update(ada, UserChanges::new().name("Ada"))
        .await
        .unwrap();
    users
        .upsert(NewUser::new("countess@x", "Ada").role(UserRole::Admin))
        .await
        .unwrap();
    assert!(users.delete(ada).await.unwrap());

    let entries = entries(&db).await;
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.action,
                json_of(&entry.old_values),
                json_of(&entry.new_values),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                AuditAction::Create,
                Value::Null,
                json!({"email": "ada@x", "role": "developer"})
            ),
            (
                AuditAction::Update,
                json!({"email": "ada@x"}),
                json!({"email": "countess@x"})
            ),
            (
                AuditAction::Update,
                json!({"role": "developer"}),
                json!({"role": "admin"})
            ),
            (
                AuditAction::Delete,
                json!({"email": "countess@x", "role": "admin"}),
                Value::Null
            ),
        ]
    );
    for entry in &entries {
        assert_eq!(entry.user_id, actor.user);
        assert_eq!(entry.organization_id, actor.organization);
        assert_eq!(entry.ip_address, actor.ip);
        assert_eq!(entry.user_agent, actor.user_agent);
        assert_eq!(
            (&*entry.resource_type, entry.resource_id),
            ("user", Some(ada.into()))
        );
        let metadata: Value = serde_json::from_str(entry.metadata.text()).unwrap();
        assert_eq!(metadata["request"], json!(actor.request));
        assert!(metadata["role"].is_string());
        // By its id it is found in its month.
        assert_eq!(
            db.audit_logs().find(entry.id).await.unwrap().as_ref(),
            Some(entry)
        );
    }
}

#[both_engines]
#[case]
async fn an_entry_is_stored_if_its_change_is() {
    let (db, database) = database().await;
    let ada = user(&db).await.id;
    let acting = db.acting_as(actor(&db).await);
    watch(&database, Table::Users, &["name"]).await;
    let rename = |name: &str| UserChanges::new().name(name);

    let undone: Result<(), Error> = acting
        .transaction(async |tx| {
            tx.users().update(ada, rename("X")).await?;
            Err(Error::Serialization)
        })
        .await;
    undone.unwrap_err();
    assert_eq!(entries(&db).await, []);

    let partly: Result<(), Error> = acting
        .transaction(async |tx| {
            tx.users().update(ada, rename("Kept")).await?;
            let undone: Result<(), Error> = tx
                .savepoint(async |tx| {
                    tx.users().update(ada, rename("Undone")).await?;
                    Err(Error::Serialization)
                })
                .await;
            undone.unwrap_err();
            tx.users().update(ada, rename("Kept as well")).await?;
            Ok(())
        })
        .await;
    partly.unwrap();
    let found = entries(&db).await;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|entry| entry.user_id.is_some()));

    // An actor that does not exist: nothing is written.
    let ghost = db.acting_as(Actor {
        user: Some(UserId::new()),
        ..Actor::default()
    });
    let refused = ghost.users().update(ada, rename("Ghost")).await;
    assert!(
        matches!(refused, Err(Error::MissingReference(_))),
        "{refused:?}"
    );
    let name = db.users().find(ada).await.unwrap().unwrap().name;
    assert_eq!(name, "Kept as well");
}

#[both_engines]
#[case]
async fn the_actor_ends_with_its_transaction() {
    let (db, database) = database().await;
    let only = Config::new(&database.url()).unwrap().max_connections(1);
    let one = Db::lazy(only).unwrap();
    let ada = user(&db).await.id;
    let acting = one.acting_as(actor(&db).await);
    watch(&database, Table::Users, &["name"]).await;

    let rename = |name: &str| UserChanges::new().name(name);
    acting
        .users()
        .update(ada, rename("By the actor"))
        .await
        .unwrap();
    one.users().update(ada, rename("By no one")).await.unwrap();
    // After an error, and in a transaction.
    acting
        .users()
        .create(NewUser::new("x".repeat(300), "x"))
        .await
        .unwrap_err();
    let taken = db.users().find(ada).await.unwrap().unwrap().email;
    acting
        .users()
        .create(NewUser::new(taken, "x"))
        .await
        .unwrap_err();
    let renamed: Result<_, Error> = one
        .transaction(async |tx| tx.users().update(ada, rename("In a transaction")).await)
        .await;
    renamed.unwrap();
    // The connection is lent, which resets its settings before the commit.
    let renamed: Result<_, Error> = acting
        .transaction(async |tx| {
            run!(tx, "SELECT 1")?;
            tx.users().update(ada, rename("Lent")).await
        })
        .await;
    renamed.unwrap();
    one.users().update(ada, rename("After it")).await.unwrap();

    let found: Vec<_> = entries(&db)
        .await
        .iter()
        .map(|entry| entry.user_id.is_some())
        .collect();
    assert_eq!(found, [true, false, false, true, false]);
}

#[both_engines]
#[case]
async fn rows_that_others_change_are_recorded() {
    let (db, database) = database().await;
    let (ada, lab) = (user(&db).await.id, organization(&db).await.id);
    let new = NewProject::new("Engine", ada).organization_id(lab);
    let project = db.projects().create(new).await.unwrap().id;
    watch(&database, Table::Users, &["name"]).await;
    watch(&database, Table::Projects, &["name"]).await;
    watch(&database, Table::Organizations, &["slug"]).await;

    // By a cascade, by the deleted user itself, and in the deleted organization.
    let eve = user(&db).await.id;
    let acting = db.acting_as(Actor {
        user: Some(eve),
        organization: Some(lab),
        ..Actor::default()
    });
    let deleted: Result<_, Error> = acting
        .transaction(async |tx| {
            tx.organizations().delete(lab).await?;
            tx.users().delete(eve).await
        })
        .await;
    // The entry of the organization names the user.
    assert!(
        matches!(deleted, Err(Error::StillReferenced(_))),
        "{deleted:?}"
    );
    assert!(acting.organizations().delete(lab).await.unwrap());
    let found: Vec<_> = entries(&db).await;
    let kinds: Vec<_> = found
        .iter()
        .map(|entry| (&*entry.resource_type, entry.resource_id))
        .collect();
    assert!(
        kinds.contains(&("project", Some(project.into()))),
        "{kinds:?}"
    );
    assert!(
        kinds.contains(&("organization", Some(lab.into()))),
        "{kinds:?}"
    );
    for entry in found.iter().filter(|entry| entry.user_id == Some(eve)) {
        assert_eq!(entry.organization_id, None);
        assert!(
            entry.metadata.text().contains(&lab.to_string()),
            "{}",
            entry.metadata.text()
        );
    }

    // By psql.
    let mut psql = Observer::of(&database.url());
    psql.run("UPDATE public.users SET name = 'By hand' WHERE name = 'Ada'; TRUNCATE public.projects CASCADE");
    let found = entries(&db).await;
    let by_hand = found
        .iter()
        .find(|entry| json_of(&entry.new_values) == json!({"name": "By hand"}));
    let by_hand = by_hand.unwrap();
    assert_eq!((by_hand.user_id, by_hand.ip_address), (None, None));
    assert!(by_hand.metadata.text().contains(r#""role""#));
    let truncated = found
        .iter()
        .find(|entry| entry.metadata.text().contains("truncated"));
    let truncated = truncated.unwrap();
    assert_eq!(
        (truncated.action, &*truncated.resource_type),
        (AuditAction::Delete, "project")
    );
}

#[both_engines]
#[case]
async fn many_rows_are_recorded_one_by_one() {
    let (db, database) = database().await;
    let actor = actor(&db).await;
    watch(&database, Table::Users, &["email"]).await;
    let acting = db.acting_as(actor.clone());
    // By COPY, and by one statement.
    for (domain, number) in [("copied", 1_500), ("inserted", 20)] {
        let new: Vec<_> = (0..number)
            .map(|number| NewUser::new(format!("{number}@{domain}"), "x"))
            .collect();
        assert_eq!(acting.users().create_many(&new).await.unwrap(), number);
    }
    let of_actor = AuditLogFilter::new().user_id(actor.user.unwrap());
    assert_eq!(db.audit_logs().count(&of_actor).await.unwrap(), 1_520);
    let ids = database_value(
        &database,
        "count(DISTINCT resource_id)::text FROM audit.audit_logs",
    );
    assert_eq!(ids, "1520");
    acting
        .users()
        .delete_many(&UserFilter::new().search("inserted"))
        .await
        .unwrap();
    assert_eq!(db.audit_logs().count(&of_actor).await.unwrap(), 1_540);
}

fn database_value(database: &TestDatabase, expression: &str) -> String {
    Observer::of(&database.url()).ask(&format!("SELECT {expression}"))
}

#[both_engines]
#[case]
async fn a_table_is_watched_until_it_is_not() {
    let (db, database) = database().await;
    let owner = owner(&database);
    watch(&database, Table::Users, &["email"]).await;
    watch(&database, Table::Projects, &["name", "updated_at"]).await;
    watch(&database, Table::Users, &["name", "role"]).await;
    let watched = audit::watched(&owner).await.unwrap();
    let watched: Vec<_> = watched
        .iter()
        .map(|found| (found.table, &found.columns[..]))
        .collect();
    let names = ["name", "role"].map(str::to_owned);
    let others = ["name", "updated_at"].map(str::to_owned);
    assert_eq!(
        watched,
        [(Table::Users, &names[..]), (Table::Projects, &others[..])]
    );

    let ada = user(&db).await;
    assert_eq!(entries(&db).await.len(), 1);
    db.users()
        .update(ada.id, UserChanges::new().email("new@x"))
        .await
        .unwrap();
    assert_eq!(entries(&db).await.len(), 1);
    for _ in 0..2 {
        audit::unwatch(&owner, Table::Users).await.unwrap();
    }
    user(&db).await;
    assert_eq!(entries(&db).await.len(), 1);
    assert_eq!(audit::watched(&owner).await.unwrap().len(), 1);
    let functions = "string_agg(proname, ' ') FROM pg_proc WHERE proname ~ '^record_update_of'";
    let name = "record_update_of_public_projects";
    assert_eq!(database_value(&database, functions), name);
    let is_public = format!("has_function_privilege('public', 'audit.{name}()', 'EXECUTE')");
    assert_eq!(database_value(&database, &is_public), "false");
    let elsewhere = format!(
        "CREATE TRIGGER elsewhere AFTER UPDATE ON public.users FOR EACH ROW \
             EXECUTE FUNCTION audit.{name}(); UPDATE public.users SET name = 'Eve'"
    );
    let refused = refusal(&database, &elsewhere);
    assert!(refused.contains("of public.projects alone"), "{refused}");

    for (table, columns, field) in [
        (
            Table::UserSessions,
            &["ip_address", "token_hash"][..],
            "columns",
        ),
        (Table::UserSessions, &["refresh_token_hash"], "columns"),
        (Table::Integrations, &["credentials"], "columns"),
        (Table::Integrations, &["webhook_secret"], "columns"),
        (Table::Configurations, &["value"], "columns"),
        (Table::Users, &["absent"], "columns"),
        (Table::Users, &["name\" IS NULL) --"], "columns"),
        (Table::Users, &["xmin"], "columns"),
        (Table::Users, &[], "columns"),
        (Table::AuditLogs, &["action"], "table"),
        (Table::SystemLogs, &["message"], "table"),
    ] {
        let refused = audit::watch(&owner, table, columns).await.unwrap_err();
        assert_eq!(field_of(refused), field, "{table} {columns:?}");
    }
    assert_eq!(audit::watched(&owner).await.unwrap().len(), 1);
}

#[both_engines]
#[case]
async fn an_entry_that_is_written_by_hand_has_the_actor() {
    let (db, _database) = database().await;
    let actor = actor(&db).await;
    let acting = db.acting_as(actor.clone());
    let new = || NewAuditLog::new(AuditAction::Invite, "organization_member");
    let created = acting.audit_logs().create(new()).await.unwrap();
    let other = user(&db).await.id;
    let many = [new().user_id(other), new()];
    let in_transaction: Result<_, Error> = acting
        .transaction(async |tx| tx.audit_logs().create_many(&many).await)
        .await;
    in_transaction.unwrap();
    assert_eq!(created.user_id, actor.user);
    assert!(
        created
            .metadata
            .text()
            .contains(&actor.request.unwrap().to_string())
    );
    let found = entries(&db).await;
    assert_eq!(found.len(), 3);
    assert!(
        found
            .iter()
            .all(|entry| entry.organization_id == actor.organization)
    );
    assert_eq!(
        found
            .iter()
            .filter(|entry| entry.user_id == Some(other))
            .count(),
        1
    );
}

#[both_engines]
#[case]
async fn secrets_reach_no_entry() {
    use wundr_db::{
        ConfigCategory, Keyring, NewConfiguration, SessionClient, SessionKeys, SessionPolicy,
    };
    let (db, database) = database().await;
    let (ada, lab) = (user(&db).await.id, organization(&db).await.id);
    // Every column that may be watched.
    for table in [
        Table::Integrations,
        Table::Configurations,
        Table::UserSessions,
        Table::Users,
    ] {
        let mut columns = Vec::new();
        let names = format!(
            "string_agg(attname, ',') FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
        );
        for name in database_value(&database, &names).split(',') {
            if audit::watch(&owner(&database), table, &[name])
                .await
                .is_ok()
            {
                columns.push(name.to_owned());
            }
        }
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        watch(&database, table, &columns).await;
    }

    let acting = db.acting_as(Actor {
        user: Some(ada),
        ..Actor::default()
    });
    let acting = acting.with_secrets(Keyring::new(1, [1; 32]));
    let new = NewIntegration::new(IntegrationType::Github, "Code", ada)
        .organization_id(lab)
        .credentials(Secret::new(r#"{"token": "hunter2"}"#.parse().unwrap()))
        .webhook_secret("hunter2");
    acting.integrations().create(new).await.unwrap();
    let setting = NewConfiguration::new(
        lab,
        ConfigCategory::Integrations,
        "key",
        json!("hunter2"),
        ada,
    )
    .is_encrypted(true);
    acting.configurations().create(setting).await.unwrap();
    let sessions =
        Sessions::new(&acting, SessionKeys::new(1, [7; 32]), SessionPolicy::new()).unwrap();
    let opened = sessions
        .open(ada, &SessionClient::new())
        .await
        .unwrap()
        .unwrap();
    sessions
        .refresh(opened.refresh_token.expose(), &SessionClient::new())
        .await
        .unwrap();
    sessions.revoke(opened.session.id).await.unwrap();

    let found = entries(&db).await;
    let kinds: Vec<_> = found
        .iter()
        .map(|entry| (entry.action, &*entry.resource_type))
        .collect();
    for kind in [
        (AuditAction::Create, "integration"),
        (AuditAction::Create, "configuration"),
        (AuditAction::Create, "user_session"),
        (AuditAction::Login, "user_session"),
        (AuditAction::Update, "user_session"),
        (AuditAction::Delete, "user_session"),
        (AuditAction::Logout, "user_session"),
    ] {
        assert!(kinds.contains(&kind), "{kind:?} is not among {kinds:?}");
    }
    let text = database_value(
        &database,
        "string_agg(to_jsonb(l)::text, ' ') FROM audit.audit_logs l",
    );
    for secret in [
        "hunter2",
        "v1|",
        "v1.1.",
        opened.session.token_hash.as_str(),
    ] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

/// The SQLSTATE of a refused statement, run as the superuser.
fn refusal(database: &TestDatabase, statement: &str) -> String {
    let refused = Observer::of(&database.url()).refusal(statement);
    refused.unwrap_or_else(|| panic!("{statement} is not refused"))
}

#[both_engines]
#[case]
async fn an_entry_is_not_changed_or_deleted_even_by_a_superuser() {
    let (db, database) = database().await;
    let new = || NewAuditLog::new(AuditAction::Read, "project");
    let may = time("2020-05-05T10:00:00Z");
    let entry = db.audit_logs().create(new()).await.unwrap();
    db.audit_logs().create(new().created_at(may)).await.unwrap();
    let (log, month) = ("audit.audit_logs", "audit.audit_logs_2020_05");
    let is_refused = |statement: String| {
        let message = refusal(&database, &statement);
        assert!(message.contains("is append-only"), "{statement}: {message}");
    };
    let of_this_month = entry
        .created_at
        .format("audit.audit_logs_%Y_%m")
        .to_string();
    for table in [log, &of_this_month, "audit.audit_logs_default"] {
        is_refused(format!("UPDATE {table} SET resource_type = 'x'"));
        is_refused(format!("DELETE FROM {table}"));
        is_refused(format!("TRUNCATE {table}"));
    }

    // The care of partitions goes on, and covers the new one.
    let mut owner = Observer::of(&database.url());
    owner.run("SELECT audit.create_monthly_partition('audit_logs', '2020-05-01')");
    assert_eq!(
        owner.ask(&format!("SELECT count(*)::text FROM {month}")),
        "1"
    );
    for statement in [
        "UPDATE {} SET resource_type = 'x'",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ] {
        is_refused(statement.replace("{}", month));
    }
    let late = time("2020-06-05T10:00:00Z");
    db.audit_logs()
        .create(new().created_at(late))
        .await
        .unwrap();
    is_refused("DELETE FROM audit.audit_logs_default".to_owned());
    owner.run(&format!(
        "ALTER TABLE {log} DETACH PARTITION {month}; DROP TABLE {month}"
    ));
    assert_eq!(
        db.audit_logs().count(&AuditLogFilter::new()).await.unwrap(),
        2
    );
}

/// A month with entries, in a partition of its own.
#[both_engines]
async fn sealed_month(number: usize) -> (Db, TestDatabase, chrono::NaiveDate, Vec<AuditLogId>) {
    let (_, database) = database().await;
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut owner = Observer::of(&database.url());
    owner.run("SELECT audit.create_monthly_partition('audit_logs', '2024-02-01')");
    let begin = time("2024-02-01T00:00:00Z");
    let new: Vec<_> = (0..number)
        .map(|number| {
            // Some have the same time.
            let at = begin + chrono::TimeDelta::minutes(number as i64 / 3);
            NewAuditLog::new(AuditAction::Read, "project")
                .created_at(at)
                .metadata(json!({ "number": number }))
        })
        .collect();
    let mut order: Vec<_> = new.iter().map(|new| (new.created_at, new.id)).collect();
    order.sort_unstable();
    db.audit_logs().create_many(&new).await.unwrap();
    let ids = order.into_iter().map(|(_, id)| id).collect();
    (db, database, "2024-02-10".parse().unwrap(), ids)
}

/// Changes what triggers keep from being changed.
fn tamper(database: &TestDatabase, statements: &str) {
    let statements = format!("SET session_replication_role = replica; {statements}");
    Observer::of(&database.url()).run(&statements);
}

#[both_engines]
#[case]
async fn the_first_entry_that_was_changed_is_named() {
    let (db, database, day, ids) = sealed_month(2_500).await;
    let log = db.audit_logs();
    assert!(matches!(log.verify(day).await, Err(Error::NotFound { .. })));
    let seal = log.seal(day).await.unwrap();
    assert_eq!((seal.entries, seal.hash.len()), (2_500, 64));
    assert_eq!(seal.month, "2024-02-01".parse().unwrap());
    assert!(matches!(log.seal(day).await, Err(Error::Unique(_))));
    assert_eq!(
        log.verify(day).await.unwrap(),
        AuditVerdict::Intact(seal.clone())
    );
    // Whatever the session's settings are, and in a transaction.
    let again: Result<_, Error> = db
        .transaction(async |tx| {
            run!(tx, "SET LOCAL TIME ZONE 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'; SET LOCAL bytea_output = 'escape'")?;
            tx.audit_logs().verify(day).await
        })
        .await;
    assert_eq!(again.unwrap(), AuditVerdict::Intact(seal.clone()));

    let of = |place: usize| format!("'{}'", ids[place]);
    let swap = |column: &str, one: usize, other: usize| {
        format!(
            "UPDATE audit.audit_logs AS l SET {column} = o.{column} FROM audit.audit_logs AS o \
             WHERE (l.id, o.id) IN (({one}, {other}), ({other}, {one}))",
            one = of(one),
            other = of(other),
        )
    };
    let insert = |at: &str| {
        format!(
            "INSERT INTO audit.audit_logs (id, action, resource_type, created_at) \
             VALUES ('0190163d-8694-739b-aea5-966c26f8ad90', 'read', 'x', '{at}')"
        )
    };
    let added: AuditLogId = "0190163d-8694-739b-aea5-966c26f8ad90".parse().unwrap();
    use AuditDifference::{Added, Changed, Removed};
    // Each is the first of those that were made before it.
    for (statement, id, difference) in [
        (insert("2024-02-29 23:59:59.999999+00"), added, Added),
        (
            format!(
                "UPDATE audit.audit_logs SET user_agent = 'x' WHERE id = {}",
                of(2_400)
            ),
            ids[2_400],
            Changed,
        ),
        (
            format!("DELETE FROM audit.audit_logs WHERE id = {}", of(2_000)),
            ids[2_000],
            Removed,
        ),
        (swap("metadata", 1_700, 1_500), ids[1_500], Changed),
        // In other pages, and so in another order.
        (swap("created_at", 1_400, 900), ids[900], Changed),
        (
            format!(
                "UPDATE audit.audit_logs SET created_at = '2024-02-25' WHERE id = {}",
                of(800)
            ),
            ids[800],
            Changed,
        ),
        (
            format!(
                "UPDATE audit.audit_logs SET created_at = '2024-03-01' WHERE id = {}",
                of(700)
            ),
            ids[700],
            Removed,
        ),
        (
            insert("2024-02-01 00:30:00.5+00").replace("8ad90", "8ad91"),
            "0190163d-8694-739b-aea5-966c26f8ad91".parse().unwrap(),
            Added,
        ),
        (
            format!(
                "UPDATE audit.audit_logs SET organization_id = gen_random_uuid() WHERE id = {}",
                of(0)
            ),
            ids[0],
            Changed,
        ),
    ] {
        tamper(&database, &statement);
        let expected = AuditVerdict::Differs {
            seal: seal.clone(),
            id,
            difference,
        };
        assert_eq!(log.verify(day).await.unwrap(), expected, "{statement}");
    }
}

#[both_engines]
#[case]
async fn a_seal_that_was_altered_is_broken() {
    for statement in [
        "UPDATE audit.audit_log_seals SET hash = sha256('x')",
        "UPDATE audit.audit_log_seals SET entries = entries + 1",
        "UPDATE audit.audit_log_seal_pages SET hash = sha256('x') WHERE page = 1",
        "UPDATE audit.audit_log_seal_pages SET digests[2] = sha256('x') WHERE page = 0",
    ] {
        let (db, database, day, _) = sealed_month(1_200).await;
        db.audit_logs().seal(day).await.unwrap();
        for table in ["audit_log_seals", "audit_log_seal_pages"] {
            let message = refusal(&database, &format!("DELETE FROM audit.{table}"));
            assert!(message.contains("is append-only"), "{message}");
        }
        tamper(&database, statement);
        let verdict = db.audit_logs().verify(day).await.unwrap();
        assert!(
            matches!(verdict, AuditVerdict::Broken(_)),
            "{statement}: {verdict:?}"
        );
    }
}

#[both_engines]
#[case]
async fn a_month_is_sealed_after_its_end() {
    let (db, _database, day, _) = sealed_month(1_000).await;
    let log = db.audit_logs();
    let now = chrono::Utc::now().date_naive();
    assert_eq!(field_of(log.seal(now).await.unwrap_err()), "month");
    let next = now + chrono::Months::new(1);
    assert_eq!(field_of(log.seal(next).await.unwrap_err()), "month");
    assert_eq!(
        field_of(log.seal(chrono::NaiveDate::MAX).await.unwrap_err()),
        "month"
    );
    // A full page, an empty month, and the end of a year.
    assert_eq!(log.seal(day).await.unwrap().entries, 1_000);
    for (day, entries) in [("2024-02-29", 1_000), ("2023-01-31", 0), ("2023-12-31", 0)] {
        let day = day.parse().unwrap();
        if entries == 0 {
            assert_eq!(log.seal(day).await.unwrap().entries, 0);
        }
        match log.verify(day).await.unwrap() {
            AuditVerdict::Intact(seal) => assert_eq!(seal.entries, entries),
            other => panic!("{other:?}"),
        }
    }
    let late = NewAuditLog::new(AuditAction::Read, "x").created_at(time("2023-12-31T23:59:59Z"));
    let late = log.create(late).await.unwrap().id;
    let verdict = log.verify("2023-12-01".parse().unwrap()).await.unwrap();
    assert!(
        matches!(verdict, AuditVerdict::Differs { id, difference: AuditDifference::Added, .. } if id == late)
    );
}

#[both_engines]
#[case]
async fn a_logout_names_the_user_that_ended_the_session() {
    use wundr_db::{SessionClient, SessionKeys, SessionPolicy};
    let (db, _database) = database().await;
    let actor = actor(&db).await;
    let ada = user(&db).await.id;
    let (keys, policy) = (SessionKeys::new(1, [7; 32]), SessionPolicy::new());
    let own = Sessions::new(&db, keys.clone(), policy.clone()).unwrap();
    let by_admin = Sessions::new(&db.acting_as(actor.clone()), keys, policy).unwrap();
    let client = SessionClient::new();
    for (sessions, by) in [(&own, Some(ada)), (&by_admin, actor.user)] {
        let opened = own.open(ada, &client).await.unwrap().unwrap();
        assert!(sessions.revoke(opened.session.id).await.unwrap());
        own.open(ada, &client).await.unwrap().unwrap();
        assert_eq!(sessions.revoke_user(ada).await.unwrap(), 1);
        let logout = |entry: &&AuditLog| entry.action == AuditAction::Logout;
        let entries = entries(&db).await;
        let last: Vec<_> = entries.iter().filter(logout).rev().take(2).collect();
        assert_eq!(last.len(), 2);
        for entry in last {
            assert_eq!(entry.user_id, by);
            let of_ada = entry.resource_id == Some(ada.into())
                || entry.metadata.text().contains(&ada.to_string());
            assert!(of_ada);
        }
    }
}

#[both_engines]
#[case]
async fn a_role_that_sees_a_part_of_the_log_seals_nothing() {
    let (db, database, day, _) = sealed_month(3).await;
    let role = format!("isolated_in_{}", database.name());
    let mut owner = Observer::of(&database.url());
    owner.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA audit TO {role}; \
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA audit TO {role}; \
         ALTER TABLE audit.audit_logs ENABLE ROW LEVEL SECURITY"
    ));
    for is_sealed in [false, true] {
        let refused: Result<(), Error> = db
            .transaction(async |tx| {
                run!(tx, &format!("SET LOCAL ROLE {role}"))?;
                match is_sealed {
                    true => tx.audit_logs().verify(day).await.map(drop),
                    false => tx.audit_logs().seal(day).await.map(drop),
                }
            })
            .await;
        assert_eq!(field_of(refused.unwrap_err()), "role");
        if !is_sealed {
            assert_eq!(db.audit_logs().seal(day).await.unwrap().entries, 3);
        }
    }
}

#[both_engines]
#[case]
async fn what_is_not_recorded_any_more_is_listed() {
    let (_, database) = database().await;
    let config = owner(&database);
    let mut observer = Observer::of(&database.url());
    observer.run(
        "ALTER TABLE public.users ADD COLUMN \"größe \"\"x\\y\" TEXT, ADD COLUMN body JSON, ADD COLUMN gone TEXT",
    );
    let names = ["größe \"x\\y", "gone", "name"];
    watch(&database, Table::Users, &names).await;
    let watched = audit::watched(&config).await.unwrap().remove(0);
    assert_eq!(watched.columns, names);
    assert!(watched.is_complete);
    for unwatchable in ["body", "a\0"] {
        let refused = audit::watch(&config, Table::Users, &[unwatchable]).await;
        assert_eq!(field_of(refused.unwrap_err()), "columns", "{unwatchable}");
    }
    // The trigger of updates depends on the column.
    observer.run("ALTER TABLE public.users DROP COLUMN gone CASCADE");
    let is_complete = audit::watched(&config).await.unwrap().remove(0).is_complete;
    assert!(!is_complete);
    watch(&database, Table::Users, &["name"]).await;
    let is_complete = audit::watched(&config).await.unwrap().remove(0).is_complete;
    assert!(is_complete);
    observer.run("ALTER TABLE public.users DISABLE TRIGGER wundr_audit_delete");
    let is_complete = audit::watched(&config).await.unwrap().remove(0).is_complete;
    assert!(!is_complete);
}
