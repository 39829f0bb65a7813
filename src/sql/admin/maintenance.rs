//! The statements of the maintenance that no other module has.

/// The query that takes the lock of the step `$1` until the end of the transaction, or returns that
/// another process has it.
pub(crate) const TRY_LOCK: &str = "SELECT pg_catalog.pg_try_advisory_xact_lock( \
    pg_catalog.hashtext('wundr_db.maintenance'), pg_catalog.hashtext($1)) AS yes";

/// The greatest number of rows that a plan counts.
pub(crate) const MOST_PLANNED: i64 = 100_000;

/// The query that counts expired sessions, up to `$1`.
pub(crate) const EXPIRED_SESSIONS: &str = "\
    SELECT pg_catalog.count(*) AS number FROM ( \
        SELECT FROM public.user_sessions WHERE expires_at <= pg_catalog.now() \
        ORDER BY expires_at LIMIT $1) AS expired";

/// The query that counts expired hashes of exchanged tokens, up to `$1`.
pub(crate) const EXCHANGED_TOKENS: &str = "\
    SELECT pg_catalog.count(*) AS number FROM ( \
        SELECT FROM public.rotated_refresh_tokens WHERE expires_at <= pg_catalog.now() \
        ORDER BY expires_at LIMIT $1) AS expired";

/// The statement that deletes expired hashes of exchanged tokens, up to `$1`.
pub(crate) const DELETE_EXCHANGED_TOKENS: &str = "\
    DELETE FROM public.rotated_refresh_tokens WHERE token_hash IN ( \
        SELECT token_hash FROM public.rotated_refresh_tokens \
        WHERE expires_at <= pg_catalog.statement_timestamp() ORDER BY expires_at LIMIT $1 \
        FOR UPDATE SKIP LOCKED)";

/// The query that counts running analyses whose lease has expired, up to `$1`.
pub(crate) const ABANDONED_RUNS: &str = "\
    SELECT pg_catalog.count(*) AS number FROM ( \
        SELECT FROM analysis.analysis_leases AS l \
        JOIN analysis.analyses AS a ON a.id = l.analysis_id \
        WHERE l.expires_at <= pg_catalog.statement_timestamp() AND a.status = 'running' \
        LIMIT $1) AS abandoned";
