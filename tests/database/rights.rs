//! The rights of a role that owns nothing.

use crate::catalog::{connect, lines, value};
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use wundr_db::testing::{TestDatabase, migrated_database};

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

/// The guest's attempt to have its code run by the trigger function: a type whose cast to UUID is its own.
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
