//! The rights of a role that owns nothing.

use crate::catalog::{DESIGN, connect, lines, value};
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use wundr_db::blocking::migrations;
use wundr_db::migrations::{Rights, grant_sql};
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
use wundr_db::{Config, Error};

/// A role that may see the schemas and own temporary tables, and a running analysis with a lease.
fn with_guest() -> (PgConnection, TestDatabase, String) {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let guest = format!("guest_of_{}", database.name());
    connection
        .batch_execute(&format!(
            "CREATE ROLE {guest}; \
             GRANT USAGE ON SCHEMA public, analysis, setup, audit, cache TO {guest}; \
             GRANT CREATE ON SCHEMA public TO {guest}; \
             INSERT INTO public.users (email, name) VALUES ('ada@example.org', 'Ada'); \
             INSERT INTO public.projects (name, created_by) SELECT 'Engine', id FROM public.users; \
             INSERT INTO analysis.analyses (project_id, type, status, started_at, created_by) \
                 SELECT id, 'quality', 'running', NOW(), created_by FROM public.projects; \
             INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at) \
                 SELECT id, 'worker-7', 'infinity' FROM analysis.analyses; \
             CREATE TABLE public.executed (by_role NAME); \
             GRANT INSERT ON public.executed TO PUBLIC;"
        ))
        .unwrap();
    (connection, database, guest)
}

fn leases(connection: &mut PgConnection) -> String {
    let count = "SELECT COUNT(*)::TEXT AS line FROM analysis.analysis_leases";
    value(connection, count)
}

/// The guest's attempt to have its code run by the trigger function: a type whose cast to UUID is
/// its own.
const TABLE_WITH_A_CAST: &str = "\
    CREATE TYPE public.bait AS (id UUID); \
    CREATE FUNCTION public.to_uuid(public.bait) RETURNS UUID LANGUAGE plpgsql AS $$ \
        BEGIN INSERT INTO public.executed VALUES (current_user); RETURN $1.id; END $$; \
    CREATE CAST (public.bait AS UUID) WITH FUNCTION public.to_uuid(public.bait) AS IMPLICIT; \
    CREATE TEMPORARY TABLE own (id public.bait, status TEXT);";

#[test]
fn a_guest_cannot_make_a_trigger_of_a_function_that_has_its_owners_rights() {
    let (mut connection, _database, guest) = with_guest();
    for function in ["end_lease", "notify_analysis"] {
        connection
            .batch_execute(&format!(
                "SET ROLE {guest}; CREATE TEMPORARY TABLE of_{function} (id UUID)"
            ))
            .unwrap();
        let refused = connection.batch_execute(&format!(
            "CREATE TRIGGER mine AFTER INSERT ON of_{function} \
             FOR EACH ROW EXECUTE FUNCTION analysis.{function}()"
        ));
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains("permission denied for function"),
            "{message}"
        );
        connection.batch_execute("RESET ROLE").unwrap();
    }
}

#[test]
fn a_trigger_that_a_guest_has_made_before_ends_no_lease_and_runs_no_code_of_its_own() {
    let (mut connection, _database, guest) = with_guest();
    // As it was when the function could be called by all.
    connection
        .batch_execute(&format!(
            "GRANT EXECUTE ON FUNCTION analysis.end_lease() TO {guest}; SET ROLE {guest}; {TABLE_WITH_A_CAST} \
             CREATE TRIGGER mine AFTER UPDATE ON own FOR EACH ROW EXECUTE FUNCTION analysis.end_lease(); \
             RESET ROLE; REVOKE EXECUTE ON FUNCTION analysis.end_lease() FROM {guest}; \
             INSERT INTO own SELECT ROW(id)::public.bait, 'running' FROM analysis.analyses; \
             GRANT SELECT, UPDATE ON own TO {guest}; SET ROLE {guest}"
        ))
        .unwrap();
    let refused = connection.batch_execute("UPDATE own SET status = 'completed'");
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("is a trigger of analysis.analyses alone"),
        "{message}"
    );
    connection.batch_execute("RESET ROLE").unwrap();
    assert_eq!(leases(&mut connection), "1");
    let executed = lines(
        &mut connection,
        "SELECT by_role::TEXT AS line FROM public.executed",
    );
    assert!(executed.is_empty(), "{executed:?}");
}

#[test]
fn who_may_end_a_run_needs_no_right_to_its_lease() {
    let (mut connection, _database, guest) = with_guest();
    connection
        .batch_execute(&format!(
            "GRANT SELECT, UPDATE ON analysis.analyses TO {guest}; SET ROLE {guest}; \
             UPDATE analysis.analyses SET status = 'cancelled'; RESET ROLE"
        ))
        .unwrap();
    assert_eq!(leases(&mut connection), "0");
}

#[test]
fn no_function_lends_its_owners_rights_to_everybody_or_follows_its_callers_search_path() {
    let (mut connection, _database, _guest) = with_guest();
    let ours = "SELECT p.oid::REGPROCEDURE::TEXT AS line FROM pg_proc p \
        WHERE p.pronamespace::REGNAMESPACE::TEXT IN ('public', 'analysis', 'setup', 'audit', 'cache')";
    let lent = format!(
        "{ours} AND p.prosecdef AND (p.proacl IS NULL OR EXISTS \
            (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'))"
    );
    assert_eq!(lines(&mut connection, &lent), Vec::<String>::new());
    let followed = format!(
        "{ours} AND p.prosqlbody IS NULL AND p.proname <> 'set_updated_at' \
            AND NOT COALESCE(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)"
    );
    assert_eq!(lines(&mut connection, &followed), Vec::<String>::new());
}

/// A role for each kind of rights, which can log in.
fn with_roles(database: &TestDatabase) -> Vec<(Rights, String)> {
    let config = Config::new(&database.url()).unwrap();
    let mut connection = connect(database);
    let kinds = [
        Rights::Application,
        Rights::ReadOnly,
        Rights::Auditor,
        Rights::Maintenance,
    ];
    let roles = kinds.into_iter().map(|rights| {
        let role = format!("{rights:?} of \"{}\"", database.name());
        let quoted = role.replace('"', "\"\"");
        connection
            .batch_execute(&format!("CREATE ROLE \"{quoted}\""))
            .unwrap();
        migrations::grant(&config, &role, rights).unwrap();
        (rights, role)
    });
    roles.collect()
}

/// Runs SQL as a role, and undoes it. Returns the message if it is refused.
fn tried(connection: &mut PgConnection, role: &str, sql: &str) -> Result<(), String> {
    let quoted = role.replace('"', "\"\"");
    connection
        .batch_execute(&format!("BEGIN; SET LOCAL ROLE \"{quoted}\""))
        .unwrap();
    let outcome = connection.batch_execute(sql);
    connection.batch_execute("ROLLBACK").unwrap();
    outcome.map_err(|error| error.to_string())
}

/// The calls that the rights are for, each with the kinds that may do it.
const TRIED: &[(&str, &[Rights])] = {
    use Rights::{Application, Auditor, Maintenance, ReadOnly};
    &[
        (
            "SELECT id, name FROM public.users",
            &[Application, ReadOnly],
        ),
        (
            "SELECT * FROM cache.project_stats",
            &[Application, ReadOnly],
        ),
        (
            "SELECT token_hash FROM public.user_sessions",
            &[Application, Maintenance],
        ),
        (
            "SELECT user_id FROM public.user_sessions",
            &[Application, ReadOnly, Maintenance],
        ),
        (
            "SELECT COUNT(*) FROM public.user_sessions",
            &[Application, ReadOnly, Maintenance],
        ),
        (
            "SELECT predecessor_hash FROM public.user_session_families",
            &[Application],
        ),
        (
            "SELECT token_hash FROM public.rotated_refresh_tokens",
            &[Application, Maintenance],
        ),
        ("SELECT credentials FROM setup.integrations", &[Application]),
        (
            "SELECT webhook_secret FROM setup.integrations",
            &[Application],
        ),
        (
            "SELECT id, name FROM setup.integrations",
            &[Application, ReadOnly],
        ),
        ("SELECT value FROM setup.configurations", &[Application]),
        (
            "SELECT name FROM setup.configurations",
            &[Application, ReadOnly],
        ),
        ("SELECT * FROM audit.audit_logs", &[Application, Auditor]),
        ("SELECT * FROM audit.system_logs", &[Application, Auditor]),
        (
            "INSERT INTO public.users (email, name) VALUES ('a', 'b')",
            &[Application],
        ),
        ("UPDATE public.users SET name = 'x'", &[Application]),
        ("DELETE FROM public.projects", &[Application]),
        (
            "UPDATE analysis.analyses SET status = 'cancelled'",
            &[Application, Maintenance],
        ),
        ("DELETE FROM analysis.analyses", &[Application]),
        ("DELETE FROM analysis.analysis_leases", &[]),
        (
            "DELETE FROM public.user_sessions",
            &[Application, Maintenance],
        ),
        (
            "INSERT INTO audit.system_logs (level, service, message) VALUES ('info', 'a', 'b')",
            &[Application],
        ),
        (
            "INSERT INTO audit.audit_logs (action, resource_type) VALUES ('read', 'a')",
            &[Application],
        ),
        ("UPDATE audit.audit_logs SET resource_type = 'x'", &[]),
        ("DELETE FROM audit.audit_logs", &[]),
        ("DELETE FROM audit.system_logs", &[]),
        ("TRUNCATE audit.audit_logs", &[]),
        ("TRUNCATE public.users CASCADE", &[]),
        (
            "ALTER TABLE public.users DISABLE TRIGGER trg_users_end_sessions",
            &[],
        ),
        ("DROP TABLE public.users", &[]),
        (
            "CREATE TRIGGER mine BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.set_updated_at()",
            &[],
        ),
        ("CREATE TABLE analysis.mine (id INTEGER)", &[]),
        (
            "CREATE TABLE audit.audit_logs_2199_01 PARTITION OF audit.audit_logs FOR VALUES FROM ('2199-01-01') TO ('2199-02-01')",
            &[],
        ),
        ("SELECT * FROM public.__diesel_schema_migrations", &[]),
        ("SELECT analysis.end_lease()", &[]),
    ]
};

fn each_role_does_its_work_and_no_more(database: &TestDatabase) {
    let mut connection = connect(database);
    connection
        .batch_execute(
            "INSERT INTO public.users (email, name) VALUES ('ada@example.org', 'Ada'); \
             INSERT INTO public.projects (name, created_by) SELECT 'Engine', id FROM public.users; \
             INSERT INTO analysis.analyses (project_id, type, status, started_at, created_by) \
                 SELECT id, 'quality', 'running', NOW(), created_by FROM public.projects",
        )
        .unwrap();
    let roles = with_roles(database);
    for (rights, role) in &roles {
        for (sql, allowed) in TRIED {
            let outcome = tried(&mut connection, role, sql);
            if allowed.contains(rights) {
                assert_eq!(outcome, Ok(()), "{rights:?}: {sql}");
            } else {
                let message = outcome.unwrap_err();
                let is_refused = message.contains("permission denied for")
                    || message.contains("must be owner of");
                assert!(is_refused, "{rights:?}: {sql}: {message}");
            }
        }
    }
    // Other rights take the place of those that a role had, and none are left in the end.
    let config = Config::new(&database.url()).unwrap();
    let (_, role) = &roles[0];
    let read = "SELECT id FROM public.users";
    migrations::grant(&config, role, Rights::ReadOnly).unwrap();
    assert_eq!(tried(&mut connection, role, read), Ok(()));
    let refused = tried(&mut connection, role, "UPDATE public.users SET name = 'x'");
    assert!(refused.is_err());
    migrations::revoke(&config, role).unwrap();
    assert!(tried(&mut connection, role, read).is_err());
    for (_, role) in &roles {
        migrations::revoke(&config, role).unwrap();
        let quoted = role.replace('"', "\"\"");
        // PostgreSQL refuses to drop a role that has rights left.
        connection
            .batch_execute(&format!("DROP ROLE \"{quoted}\""))
            .unwrap();
    }
}

#[test]
fn a_role_does_its_work_and_no_more() {
    each_role_does_its_work_and_no_more(&migrated_database().unwrap());
}

#[test]
fn a_role_does_its_work_and_no_more_in_an_adopted_database() {
    let database = PostgresServer::shared().unwrap().create_database().unwrap();
    connect(&database).batch_execute(DESIGN).unwrap();
    migrations::adopt(&Config::new(&database.url()).unwrap()).unwrap();
    each_role_does_its_work_and_no_more(&database);
}

#[test]
fn rights_are_given_by_the_owner_to_a_role_that_is_not_the_owner() {
    let (mut connection, database, guest) = with_guest();
    let config = Config::new(&database.url()).unwrap();
    let message = |outcome: wundr_db::Result<()>| match outcome {
        Err(Error::Other { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let grant = |role: &str| migrations::grant(&config, role, Rights::ReadOnly);
    let unknown = message(grant("nobody"));
    assert!(unknown.contains("does not exist"), "{unknown}");
    let owner = message(grant("postgres"));
    assert!(owner.contains("has the rights of the owner"), "{owner}");
    assert!(matches!(grant("public"), Err(Error::InvalidInput { .. })));
    let by_guest = grant_sql(&guest, Rights::Application).unwrap();
    connection
        .batch_execute(&format!("SET ROLE {guest}"))
        .unwrap();
    let refused = connection.batch_execute(&by_guest).unwrap_err().to_string();
    assert!(refused.contains("only its owner gives rights"), "{refused}");
    connection.batch_execute("ROLLBACK; RESET ROLE").unwrap();
    // By hand it is the same.
    connection.batch_execute(&by_guest).unwrap();
    assert_eq!(
        tried(
            &mut connection,
            &guest,
            "UPDATE public.users SET name = 'x'"
        ),
        Ok(())
    );
}

/// A table that is added needs its grants in `src/migrations/rights.rs`.
#[test]
fn every_table_has_its_rights() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let (_, application) = with_roles(&database).remove(0);
    let application = application.replace('\'', "''");
    let unlisted = format!(
        "SELECT c.oid::REGCLASS::TEXT AS line FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') AND c.relkind IN ('r', 'p', 'v') \
           AND NOT c.relispartition AND c.relname <> '__diesel_schema_migrations' \
           AND NOT has_table_privilege('{application}', c.oid, 'SELECT')"
    );
    assert_eq!(lines(&mut connection, &unlisted), Vec::<String>::new());
}

/// Relations, each with its privileges.
type Privileges = &'static [(&'static str, &'static str)];

/// The privileges of each kind of rights, by their first letters. First those of all relations but
/// the ones that are listed.
const PRIVILEGES: [(Rights, &str, Privileges); 4] = [
    (
        Rights::Application,
        "SIUD",
        &[
            ("audit.audit_logs", "SI"),
            ("audit.system_logs", "SI"),
            ("audit.audit_log_seals", "SI"),
            ("audit.audit_log_seal_pages", "SI"),
            ("audit.audit_log_anonymizations", "S"),
            ("analysis.analysis_abandonments", "SIU"),
            ("analysis.analysis_leases", "SIU"),
            ("analysis.analysis_removals", "SI"),
            ("cache.project_stats", "S"),
            ("public.user_session_families", "SIU"),
        ],
    ),
    (
        Rights::ReadOnly,
        "S",
        &[
            ("audit.audit_logs", ""),
            ("audit.system_logs", ""),
            ("audit.audit_log_seals", ""),
            ("audit.audit_log_seal_pages", ""),
            ("audit.audit_log_anonymizations", ""),
            // All columns but the secrets.
            ("public.rotated_refresh_tokens", ""),
            ("public.user_session_families", ""),
            ("public.user_sessions", ""),
            ("setup.configurations", ""),
            ("setup.integrations", ""),
        ],
    ),
    (
        Rights::Auditor,
        "",
        &[
            ("audit.audit_logs", "S"),
            ("audit.system_logs", "S"),
            ("audit.audit_log_seals", "S"),
            ("audit.audit_log_seal_pages", "S"),
            ("audit.audit_log_anonymizations", "S"),
        ],
    ),
    (
        Rights::Maintenance,
        "",
        &[
            ("analysis.analyses", "SU"),
            ("analysis.analysis_abandonments", "SIU"),
            ("analysis.analysis_leases", "SU"),
            ("public.organization_invitations", "SUD"),
            ("public.rotated_refresh_tokens", "SUD"),
            ("public.user_sessions", "SUD"),
        ],
    ),
];

/// A privilege that is missing stops an application, and one too many is found by no other test.
#[test]
fn a_role_has_these_privileges_and_no_other() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    for (rights, role) in with_roles(&database) {
        let role = role.replace('\'', "''");
        let granted = format!(
            "SELECT n.nspname || '.' || c.relname || ' ' || (\
                 SELECT COALESCE(string_agg(letter, '' ORDER BY place), '') \
                 FROM (VALUES ('SELECT', 'S', 1), ('INSERT', 'I', 2), ('UPDATE', 'U', 3), ('DELETE', 'D', 4), \
                     ('TRUNCATE', 'T', 5), ('REFERENCES', 'R', 6), ('TRIGGER', 'G', 7)) AS p (privilege, letter, place) \
                 WHERE has_table_privilege('{role}', c.oid, privilege)) AS line \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') AND c.relkind IN ('r', 'p', 'v') \
               AND NOT c.relispartition AND c.relname <> '__diesel_schema_migrations' ORDER BY 1"
        );
        let (_, usual, others) = PRIVILEGES.iter().find(|(of, ..)| *of == rights).unwrap();
        let granted = lines(&mut connection, &granted);
        for line in &granted {
            let (relation, granted) = line.split_once(' ').unwrap();
            let other = others.iter().find(|(name, _)| *name == relation);
            let expected = other.map_or(*usual, |(_, expected)| expected);
            assert_eq!(granted, expected, "{rights:?}: {relation}");
        }
        for (relation, _) in *others {
            let is_there = |line: &String| line.starts_with(&format!("{relation} "));
            assert!(granted.iter().any(is_there), "{relation}");
        }
    }
}

/// An owner may have taken the functions from `PUBLIC`, which may execute them by default.
#[test]
fn a_role_may_call_its_functions_where_the_public_may_not() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let schemas = "public, analysis, setup, audit, cache";
    connection
        .batch_execute(&format!(
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {schemas} FROM PUBLIC"
        ))
        .unwrap();
    for (rights, role) in with_roles(&database) {
        let role = role.replace('\'', "''");
        let callable = format!(
            "SELECT n.nspname || '.' || p.proname AS line \
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') \
               AND has_function_privilege('{role}', p.oid, 'EXECUTE') ORDER BY 1"
        );
        let expected: &[&str] = match rights {
            Rights::Application | Rights::ReadOnly => {
                &["analysis.get_analysis_trends", "cache.project_stats_of"]
            }
            _ => &[],
        };
        assert_eq!(lines(&mut connection, &callable), expected, "{rights:?}");
    }
}

/// PostgreSQL gives a trigger for `TRUNCATE` to no partition: each table of the log has its own.
#[test]
fn every_table_of_the_audit_log_refuses_to_be_truncated() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let without = "SELECT relid::TEXT AS line FROM pg_partition_tree('audit.audit_logs') \
        WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relid AND tgenabled = 'O' \
            AND tgname = 'trg_audit_logs_no_truncate')";
    assert_eq!(lines(&mut connection, without), Vec::<String>::new());
}

/// A role that was given everything by hand, as scripts do it, and by default privileges.
#[test]
fn nothing_is_left_to_a_role_that_had_more() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let config = Config::new(&database.url()).unwrap();
    let role = format!("had_more_in_{}", database.name());
    let mut given = format!("CREATE ROLE {role};");
    for schema in ["public", "analysis", "setup", "audit", "cache"] {
        for kind in ["TABLES", "SEQUENCES", "FUNCTIONS"] {
            given.push_str(&format!(
                "GRANT ALL ON ALL {kind} IN SCHEMA {schema} TO {role};"
            ));
            if schema != "public" {
                given.push_str(&format!(
                    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT ALL ON {kind} TO {role};"
                ));
            }
        }
    }
    connection.batch_execute(&given).unwrap();
    migrations::grant(&config, &role, Rights::ReadOnly).unwrap();
    connection
        .batch_execute("SELECT audit.create_monthly_partition('audit.audit_logs', '2031-05-01')")
        .unwrap();
    for refused in [
        "SELECT * FROM audit.audit_logs_2031_05",
        "SELECT * FROM audit.audit_logs_default",
        "INSERT INTO audit.system_logs_default (level, service, message) VALUES ('info', 'a', 'b')",
        "SELECT setval(pg_get_serial_sequence('analysis.analysis_leases', 'fence'), 9)",
        "SELECT analysis.raise_fence()",
        "DELETE FROM public.__diesel_schema_migrations",
    ] {
        let outcome = tried(&mut connection, &role, refused);
        let message = outcome.expect_err(refused);
        assert!(message.contains("permission denied for"), "{message}");
    }
    let read = "SELECT name FROM public.users";
    assert_eq!(tried(&mut connection, &role, read), Ok(()));
    let left = format!(
        "SELECT c.oid::REGCLASS || ': ' || a.privilege_type AS line \
         FROM pg_class c, aclexplode(c.relacl) a \
         WHERE a.grantee = '{role}'::REGROLE AND (a.privilege_type <> 'SELECT' OR c.relispartition) \
         UNION ALL SELECT p.oid::REGPROCEDURE::TEXT FROM pg_proc p, aclexplode(p.proacl) a \
         WHERE a.grantee = '{role}'::REGROLE AND NOT p.proname IN ('get_analysis_trends', 'project_stats_of')"
    );
    assert_eq!(lines(&mut connection, &left), Vec::<String>::new());
    migrations::revoke(&config, &role).unwrap();
    // PostgreSQL refuses to drop a role that has rights left.
    connection
        .batch_execute(&format!("DROP ROLE {role}"))
        .unwrap();
}
