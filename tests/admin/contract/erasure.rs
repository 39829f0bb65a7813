use core::prelude::v1::test;

use super::*;
use std::collections::BTreeSet;

use wundr_db::admin::{ErasureAction, UserErasure};
use wundr_db::testing::migrated_database;
use wundr_db::{
    Actor, AuditDifference, AuditVerdict, Config, Error, OrganizationId, ProjectId, Table, UserId,
};

/// A database with everything that can be stored of Ada.
struct Scene {
    db: Db,
    ada: UserId,
    grace: UserId,
    lab: OrganizationId,
    engine: ProjectId,
    observer: Observer,
    database: TestDatabase,
}

#[both_engines]
async fn scene() -> Scene {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let (ada, grace) = (UserId::new(), UserId::new());
    let (lab, engine) = (OrganizationId::new(), ProjectId::new());
    let mut observer = Observer::of(&database.url());
    observer.run("SELECT audit.create_monthly_partition('audit_logs', '2024-02-01')");
    let rows = include_str!("erasure.sql")
        .replace("$A", &ada.to_string())
        .replace("$G", &grace.to_string())
        .replace("$O", &lab.to_string())
        .replace("$P", &engine.to_string());
    observer.run(&rows);
    Scene {
        db,
        ada,
        grace,
        lab,
        engine,
        observer,
        database,
    }
}

/// The tables with a row that matches the pattern, in the text of any of its columns.
fn found(observer: &mut Observer, pattern: &str) -> BTreeSet<String> {
    let tables = observer.ask(
        "SELECT string_agg(format('%I.%I', n.nspname, c.relname), ' ') FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit') \
             AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    );
    let tables = tables.split(' ').map(str::to_owned);
    tables
        .filter(|table| {
            let is_in = format!("EXISTS (SELECT FROM {table} t WHERE t::text ~* '{pattern}')");
            observer.ask(&is_in) == "true"
        })
        .collect()
}

/// What is known of Ada beside her id.
const PERSON: &str = "(?<![.h])ada@example.org(?!.uk)|old@example.org|lovelace|byron|adagit|adadark|203\\.0\\.113\\.7|adabrowser\
     |adatoken|adarefresh|adarotated|adaformer";

/// Records the changes of tables that an erasure writes.
#[both_engines]
async fn watch_all(scene: &Scene) {
    let owner = Config::new(&scene.database.url()).unwrap();
    for (table, columns) in [
        (Table::Users, &["email", "name", "preferences"][..]),
        (
            Table::UserSessions,
            &["user_id", "ip_address", "user_agent"],
        ),
        (
            Table::OrganizationMembers,
            &["user_id", "invited_by", "role"],
        ),
        (Table::Projects, &["name", "created_by"]),
        (Table::SetupSessions, &["user_id"]),
    ] {
        audit::watch(&owner, table, columns).await.unwrap();
    }
}

#[both_engines]
#[case]
async fn nothing_of_a_user_is_left_if_another_takes_over() {
    for is_watched in [false, true] {
        let mut scene = scene().await;
        let id = scene.ada.to_string();
        let before = found(&mut scene.observer, &format!("{id}|{PERSON}"));
        assert!(before.len() > 14, "{before:?}");
        if is_watched {
            watch_all(&scene).await;
        }
        let others = "SELECT string_agg(l::text, ',' ORDER BY id) FROM audit.audit_logs l WHERE metadata::text ~ 'hada'";
        let untouched = scene.observer.ask(others);
        let erasure = UserErasure::reassigning_to(scene.grace).address("old@example.org");
        // On behalf of the user itself: the entries of the deletion would name it.
        let acting = scene.db.acting_as(Actor {
            user: Some(scene.ada),
            ip: Some("203.0.113.7".parse().unwrap()),
            user_agent: Some("AdaBrowser".to_owned()),
            ..Actor::default()
        });
        let erased = admin::erase_user(&acting, scene.ada, &erasure)
            .await
            .unwrap();
        let left = found(&mut scene.observer, &format!("{id}|{PERSON}"));
        assert_eq!(left, BTreeSet::new(), "watched: {is_watched}");

        assert!(erased.is_deleted && erased.organizations_without_owner.is_empty());
        for rows in &erased.rows {
            assert!(rows.rows > 0, "{rows}");
            assert_ne!(rows.action, ErasureAction::Kept, "{rows}");
        }
        let grace = scene.grace;
        for (table, column) in [
            ("public.projects", "created_by"),
            ("analysis.analyses", "created_by"),
            ("setup.setup_profiles", "created_by"),
            ("setup.configurations", "created_by"),
            ("setup.integrations", "created_by"),
        ] {
            let row = format!("{table} WHERE {column} = '{grace}'");
            assert_eq!(scene.observer.count(&row), 1, "{row}");
        }
        for table in ["public.organization_members", "public.project_members"] {
            let owner = format!("{table} WHERE user_id = '{grace}' AND role = 'owner'");
            assert_eq!(scene.observer.count(&owner), 1, "{owner}");
        }
        // The rest of the entries stays, and other persons.
        assert_eq!(scene.observer.ask(others), untouched);
        let entries = "audit.audit_logs WHERE metadata ->> 'role' IS NULL";
        assert_eq!(scene.observer.count(entries), 6);
        for kept in [
            "new_values = '{\"role\": \"developer\"}' AND user_agent = 'GraceBrowser'",
            "metadata = '{\"n\": 1.50}' AND action = 'login' AND resource_id IS NULL",
            "metadata #>> '{mail,0}' = 'to [erased]'",
            "metadata #>> '{mail,1,deep}' = E'\\n[erased]'",
        ] {
            let entry = format!("audit.audit_logs WHERE {kept}");
            assert_eq!(scene.observer.count(&entry), 1, "{kept}");
        }
        for message in [
            "no login of [erased].",
            "user [erased] is slow",
            "hada@example.org and ada@example.org.uk",
        ] {
            let entry = format!("audit.system_logs WHERE message = '{message}'");
            assert_eq!(scene.observer.count(&entry), 1, "{message}");
        }
        let again = admin::erase_user(&scene.db, scene.ada, &erasure).await;
        assert!(matches!(again, Err(Error::NotFound { what: "User" })));
    }
}

#[both_engines]
#[case]
async fn a_user_that_is_kept_has_no_personal_data() {
    let mut scene = scene().await;
    let erasure = UserErasure::keeping().address("old@example.org");
    let erased = admin::erase_user(&scene.db, scene.ada, &erasure)
        .await
        .unwrap();
    assert_eq!(found(&mut scene.observer, PERSON), BTreeSet::new());
    let user = scene.db.users().find(scene.ada).await.unwrap().unwrap();
    assert!(!user.is_active && user.email.ends_with("@erased.invalid"));
    let named = found(&mut scene.observer, &scene.ada.to_string());
    assert!(
        !named.iter().any(|table| table.contains("_logs")),
        "{named:?}"
    );
    let kept: BTreeSet<_> = erased
        .rows
        .iter()
        .filter(|rows| rows.action == ErasureAction::Kept && rows.rows > 0)
        .map(|rows| rows.table.to_owned())
        .collect();
    let mut expected = named;
    assert!(expected.remove("public.users"));
    assert_eq!(kept, expected);
    assert!(!erased.is_deleted);
    assert_eq!(erased.organizations_without_owner, [scene.lab]);
    assert_eq!(erased.projects_without_owner, [scene.engine]);
    // It is not found by what it was.
    let by_address = scene.db.users().find_by_email("ada@example.org").await;
    assert_eq!(by_address.unwrap(), None);
}

#[both_engines]
#[case]
async fn a_sealed_month_is_anonymized_and_not_altered() {
    let mut scene = scene().await;
    let day = "2024-02-10".parse().unwrap();
    let log = scene.db.audit_logs();
    let seal = log.seal(day).await.unwrap();
    assert_eq!(seal.entries, 3);
    let erasure = UserErasure::reassigning_to(scene.grace);
    let erased = admin::erase_user(&scene.db, scene.ada, &erasure)
        .await
        .unwrap();
    let first = erased.sealed_months[0].clone();
    assert_eq!((first.month, first.entries), (seal.month, 2));
    let expected = AuditVerdict::Anonymized {
        seal: seal.clone(),
        anonymized: first.clone(),
    };
    assert_eq!(log.verify(day).await.unwrap(), expected);

    // Another person, in an entry that was anonymized before and in another one.
    let erased = admin::erase_user(&scene.db, scene.grace, &UserErasure::keeping()).await;
    let second = erased.unwrap().sealed_months[0].clone();
    assert_eq!(second.entries, 3);
    assert_ne!(second.hash, first.hash);
    let expected = AuditVerdict::Anonymized {
        seal: seal.clone(),
        anonymized: second,
    };
    assert_eq!(log.verify(day).await.unwrap(), expected);
    for statement in [
        "UPDATE {} SET digest = sealed",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ] {
        let statement = statement.replace("{}", "audit.audit_log_anonymizations");
        let refused = scene.observer.refusal(&statement).unwrap();
        assert!(refused.contains("is append-only"), "{refused}");
    }

    // An entry that was anonymized and is then altered.
    let of = |day: u32| {
        format!("(SELECT id FROM audit.audit_logs WHERE created_at = '2024-02-0{day} 10:00+00')")
    };
    scene.observer.run(&format!(
        "SET session_replication_role = replica; \
         UPDATE audit.audit_logs SET user_agent = 'x' WHERE id = {}",
        of(4)
    ));
    let verdict = log.verify(day).await.unwrap();
    let AuditVerdict::Differs { id, difference, .. } = verdict else {
        panic!("{verdict:?}");
    };
    let expected = scene.observer.ask(&of(4));
    assert_eq!(
        (id.to_string(), difference),
        (expected, AuditDifference::Changed)
    );
}

/// An erasure does not make good what was done before it.
#[both_engines]
#[case]
async fn an_entry_that_was_altered_before_an_erasure_stays_altered() {
    let mut scene = scene().await;
    let day = "2024-02-10".parse().unwrap();
    let log = scene.db.audit_logs();
    log.seal(day).await.unwrap();
    scene.observer.run(
        "SET session_replication_role = replica; \
         UPDATE audit.audit_logs SET action = 'login' WHERE created_at = '2024-02-03 10:00+00'; \
         SET session_replication_role = origin",
    );
    let erasure = UserErasure::reassigning_to(scene.grace);
    let erased = admin::erase_user(&scene.db, scene.ada, &erasure)
        .await
        .unwrap();
    assert_eq!(erased.sealed_months[0].entries, 1);
    let verdict = log.verify(day).await.unwrap();
    assert!(matches!(
        verdict,
        AuditVerdict::Differs {
            difference: AuditDifference::Changed,
            ..
        }
    ));
}

#[both_engines]
#[case]
async fn a_month_that_is_sealed_meanwhile_is_sealed_after_the_erasure() {
    let scene = scene().await;
    let day = "2024-02-10".parse().unwrap();
    let log = scene.db.audit_logs();
    // The erasure waits for the user.
    let mut holder = Observer::of(&scene.database.url());
    holder.run(&format!(
        "BEGIN; SELECT FROM public.users WHERE id = '{}' FOR UPDATE",
        scene.ada
    ));
    let erasure = UserErasure::reassigning_to(scene.grace);
    let (erased, sealed) = concurrently!(
        admin::erase_user(&scene.db, scene.ada, &erasure),
        seal_meanwhile(&scene.database, &log, day, &mut holder)
    );
    assert_eq!(erased.unwrap().sealed_months, []);
    let verdict = log.verify(day).await.unwrap();
    assert_eq!(verdict, AuditVerdict::Intact(sealed));
}

#[both_engines]
async fn seal_meanwhile(
    database: &TestDatabase,
    log: &AuditLogs<'_>,
    day: wundr_db::chrono::NaiveDate,
    holder: &mut Observer,
) -> wundr_db::AuditSeal {
    until(database, crate::observer::SOMEBODY_WAITS).await;
    let (sealed, ()) = concurrently!(log.seal(day), released(database, holder));
    sealed.unwrap()
}

#[both_engines]
async fn released(database: &TestDatabase, holder: &mut Observer) {
    let both_wait = "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') = 2";
    until(database, both_wait).await;
    holder.run("COMMIT");
}

#[both_engines]
#[case]
async fn no_role_but_the_owner_changes_the_log() {
    let mut scene = scene().await;
    let role = format!("app_{}", scene.database.name());
    scene.observer.run(&format!("CREATE ROLE {role} LOGIN"));
    let owner = Config::new(&scene.database.url()).unwrap();
    let rights = wundr_db::migrations::Rights::Application;
    migrations::grant(&owner, &role, rights).await.unwrap();
    // Even with the right to UPDATE, which no rights of the crate include.
    scene
        .observer
        .run(&format!("GRANT UPDATE ON audit.audit_logs TO {role}"));
    let update = "UPDATE audit.audit_logs SET ip_address = NULL";
    for (settings, statement) in [
        (format!("SET ROLE {role}; SET wundr.erasure = 'on'"), update),
        ("RESET ROLE; SET wundr.erasure = 'off'".to_owned(), update),
        (
            "SET wundr.erasure = 'on'".to_owned(),
            "UPDATE audit.audit_logs SET action = 'read' WHERE action = 'login'",
        ),
        (
            "SET wundr.erasure = 'on'".to_owned(),
            "UPDATE audit.audit_logs SET user_agent = 'x'",
        ),
        (
            "SET wundr.erasure = 'on'".to_owned(),
            "UPDATE audit.audit_logs SET user_id = NULL, resource_id = id",
        ),
        (
            "SET wundr.erasure = 'on'".to_owned(),
            "DELETE FROM audit.audit_logs",
        ),
        (
            "SET wundr.erasure = 'on'".to_owned(),
            "TRUNCATE audit.audit_logs",
        ),
    ] {
        scene.observer.run(&settings);
        let refused = scene.observer.refusal(statement);
        let message = refused.unwrap_or_else(|| panic!("{settings}; {statement}"));
        assert!(message.contains("is append-only"), "{message}");
    }
    scene.observer.run(&format!(
        "RESET wundr.erasure; REVOKE UPDATE ON audit.audit_logs FROM {role}"
    ));

    let url = crate::hostile::as_role(&scene.database.url(), &role);
    let db = Db::connect_to(&url).await.unwrap();
    let erasure = UserErasure::reassigning_to(scene.grace);
    let refused = admin::erase_user(&db, scene.ada, &erasure).await;
    let is_refused = |error: &Error| matches!(error, Error::Other { message, .. } if message.contains("permission denied"));
    assert!(refused.as_ref().is_err_and(is_refused), "{refused:?}");
    let user = scene.db.users().find(scene.ada).await.unwrap();
    assert_eq!(user.unwrap().name, "Ada Lovelace");
    drop(db);
    migrations::revoke(&owner, &role).await.unwrap();
}

#[both_engines]
#[case]
async fn an_erasure_that_cannot_be_meant_is_refused() {
    let scene = scene().await;
    let nobody = UserId::new();
    for (user, erasure, is_found) in [
        (scene.ada, UserErasure::reassigning_to(scene.ada), true),
        (scene.ada, UserErasure::reassigning_to(nobody), false),
        (nobody, UserErasure::keeping(), false),
        (scene.ada, UserErasure::keeping().address("true"), true),
        (scene.ada, UserErasure::keeping().address("1@"), true),
        (
            scene.ada,
            UserErasure::keeping().address(format!("{}@x", "a".repeat(254))),
            true,
        ),
    ] {
        let erased = admin::erase_user(&scene.db, user, &erasure).await;
        match is_found {
            true => assert!(
                matches!(erased, Err(Error::InvalidInput { .. })),
                "{erasure:?}"
            ),
            false => assert!(matches!(erased, Err(Error::NotFound { .. })), "{erasure:?}"),
        }
    }
    let user = scene.db.users().find(scene.ada).await.unwrap();
    assert_eq!(user.unwrap().email, "Ada@example.org");
}

#[both_engines]
#[case]
async fn nothing_of_an_organization_is_left_and_its_users_stay() {
    let mut scene = scene().await;
    let owner = Config::new(&scene.database.url()).unwrap();
    let columns = &["name", "slug"];
    audit::watch(&owner, Table::Organizations, columns)
        .await
        .unwrap();
    let day = "2024-02-10".parse().unwrap();
    scene.db.audit_logs().seal(day).await.unwrap();
    let erased = admin::erase_organization(&scene.db, scene.lab)
        .await
        .unwrap();
    assert_eq!(
        found(&mut scene.observer, &scene.lab.to_string()),
        BTreeSet::new()
    );
    for rows in &erased.rows {
        assert!(rows.rows > 0, "{rows}");
    }
    assert_eq!(scene.observer.count("public.users"), 2);
    assert_eq!(
        scene
            .observer
            .count("audit.audit_logs WHERE new_values IS NOT NULL"),
        0
    );
    assert_eq!(
        scene
            .observer
            .count("audit.audit_logs WHERE user_id IS NOT NULL"),
        6
    );
    assert_eq!(erased.sealed_months[0].entries, 3);
    let verdict = scene.db.audit_logs().verify(day).await.unwrap();
    assert!(
        matches!(verdict, AuditVerdict::Anonymized { .. }),
        "{verdict:?}"
    );
    let again = admin::erase_organization(&scene.db, scene.lab).await;
    assert!(matches!(
        again,
        Err(Error::NotFound {
            what: "Organization"
        })
    ));
}

#[both_engines]
#[case]
async fn an_export_has_every_row_of_a_user_and_no_secret_and_no_other_person() {
    let mut scene = scene().await;
    // More than are read at once.
    scene.observer.run(&format!(
        "INSERT INTO audit.audit_logs (user_id, action, resource_type) \
         SELECT '{}', 'read', 'x' FROM generate_series(1, 250)",
        scene.ada
    ));
    let mut written = Vec::new();
    let number = admin::export_user(&scene.db, scene.ada, admin::Output::immediate(&mut written))
        .await
        .unwrap();
    let text = String::from_utf8(written).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len() as u64, number);
    let by: BTreeSet<_> = lines
        .iter()
        .map(|line| {
            format!(
                "{}.{}",
                line["table"].as_str().unwrap(),
                line["by"].as_str().unwrap()
            )
        })
        .collect();
    // The columns of a row that is found by another one go with it.
    for column in admin::personal_columns() {
        let name = format!("{}.{}", column.table, column.column);
        let is_in_row = lines
            .iter()
            .any(|line| line["table"] == column.table && line["row"].get(column.column).is_some());
        assert_eq!(is_in_row, column.is_exported, "{name}");
        if column.column == "user_id" || column.column.ends_with("_by") {
            assert!(by.contains(&name), "{name}");
        }
    }
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["row"]["resource_type"] == "x")
            .count(),
        250
    );
    for secret in ["adatoken", "adarefresh", "adaformer", "adarotated"] {
        assert!(!text.contains(secret), "{secret}");
    }
    for other in [
        "GraceBrowser",
        "198.51.100.9",
        "grace@",
        &scene.grace.to_string(),
    ] {
        assert!(!text.contains(other), "{other}");
    }
    assert!(text.contains("Ada Lovelace") && text.contains("203.0.113.7"));

    let nobody = admin::export_user(
        &scene.db,
        UserId::new(),
        admin::Output::immediate(Vec::new()),
    )
    .await;
    assert!(matches!(nobody, Err(Error::NotFound { what: "User" })));
    let mut room = [0; 100];
    let full = admin::Output::immediate(&mut room[..]);
    let full = admin::export_user(&scene.db, scene.ada, full).await;
    assert!(matches!(full, Err(Error::InvalidInput { .. })), "{full:?}");
}

/// A new column that refers to users, or has a name that sounds like a person, is to be listed.
#[test]
fn every_personal_column_of_the_schema_is_listed() {
    let database = migrated_database().unwrap();
    let columns = Observer::of(&database.url()).ask(
        "SELECT string_agg(DISTINCT format('%s.%s.%s', n.nspname, c.relname, a.attname), ' ') \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey) \
             AND k.confrelid = 'public.users'::regclass \
         WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') AND c.relkind IN ('r', 'p') \
             AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped \
             AND (k.oid IS NOT NULL OR a.atttypid = 'inet'::regtype \
                 OR a.attname ~ 'mail|^ip_|agent|avatar|username|phone|preferences|last_login|token_hash|predecessor_hash')",
    );
    let listed: BTreeSet<_> = admin::personal_columns()
        .iter()
        .map(|column| format!("{}.{}", column.table, column.column))
        .collect();
    let missing: Vec<_> = columns
        .split(' ')
        .filter(|column| !listed.contains(*column))
        .filter(|column| *column != "public.users.email_verified")
        .collect();
    assert_eq!(missing, [""; 0]);
    let mut observer = Observer::of(&database.url());
    for column in &listed {
        let (table, name) = column.rsplit_once('.').unwrap();
        let is_there = format!(
            "EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{name}' AND attnum > 0)"
        );
        assert_eq!(observer.ask(&is_there), "true", "{column}");
    }
}
