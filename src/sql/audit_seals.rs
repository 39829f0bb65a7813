//! The statements that seal and verify a month of the audit log, page by page.
//!
//! A page has up to 1,000 entries in the order of `(created_at, id)`. The digest of an entry is the
//! SHA-256 of its columns as a JSON array, which does not depend on a setting of the session. The
//! hash of a page is the SHA-256 of the hash of the page before and the page's digests. The hash of
//! the seal is the SHA-256 of the last page's.
//!
//! An entry that was anonymized after its month was sealed has another digest. It is kept beside
//! the sealed one, and counts in its place. The chain is that of the sealed digests.
//!
//! A page is bounded by its first entry and that of the next page. So a page can be compared with
//! the log alone: what was added between two entries belongs to the page of the first.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz};

/// The number of entries of a full page.
pub(crate) const ENTRIES_OF_PAGE: i64 = 1_000;

/// The digest of an entry `l` of the log.
macro_rules! digest {
    () => {
        "pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array( \
            l.id, l.user_id, l.organization_id, l.action, l.resource_type, l.resource_id, l.old_values, l.new_values, \
            l.metadata, l.ip_address, l.user_agent, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::bigint)::text, \
            'UTF8'))"
    };
}
#[cfg(feature = "admin")]
pub(crate) use digest;

/// Entries of the log `l` with their digests. Expanded into the statements below.
macro_rules! entries {
    () => {
        concat!(
            "SELECT l.id, l.created_at, ",
            digest!(),
            " AS digest FROM audit.audit_logs AS l"
        )
    };
}

/// The query that checks whether a month that ended at `$1` is closed.
///
/// The time of an entry is that of the begin of its transaction, which may have begun within the
/// month.
pub(crate) const IS_CLOSED: &str = "SELECT $1 + INTERVAL '1 day' <= pg_catalog.now() AS yes";

/// The query that checks whether the role sees every entry. Where organizations are isolated, it
/// may see those of one.
pub(crate) const SEES_ALL: &str =
    "SELECT NOT pg_catalog.row_security_active('audit.audit_logs'::pg_catalog.regclass) AS yes";

/// The statement that writes the page `$2` of the month `$1`: the entries after `($3, $4)` and
/// before `$5`. `$6` is the hash of the page before.
pub(crate) const SEAL_PAGE: &str = concat!(
    "WITH entries AS MATERIALIZED (",
    entries!(),
    " WHERE l.created_at >= $3 AND l.created_at < $5 AND (l.created_at, l.id) > ($3, $4) \
        ORDER BY l.created_at, l.id LIMIT 1000), \
    page AS MATERIALIZED ( \
        SELECT pg_catalog.count(*) AS entries, \
            pg_catalog.array_agg(id ORDER BY created_at, id) AS ids, \
            pg_catalog.array_agg(created_at ORDER BY created_at, id) AS times, \
            pg_catalog.array_agg(digest ORDER BY created_at, id) AS digests, \
            pg_catalog.sha256($6 || pg_catalog.string_agg(digest, ''::bytea ORDER BY created_at, id)) AS hash \
        FROM entries), \
    written AS ( \
        INSERT INTO audit.audit_log_seal_pages (month, page, first_created_at, first_id, ids, digests, hash) \
        SELECT $1, $2, times[1], ids[1], ids, digests, hash FROM page WHERE entries > 0) \
    SELECT entries, times[entries] AS created_at, ids[entries] AS id, hash FROM page"
);

/// The statement that writes the seal of the month `$1`. `$3` is the hash of the last page.
pub(crate) const SEAL: &str = "INSERT INTO audit.audit_log_seals (month, entries, hash) VALUES ($1, $2, pg_catalog.sha256($3)) \
    RETURNING entries, hash, sealed_at";

/// The query for the seal of the month `$1`.
pub(crate) const FIND: &str =
    "SELECT entries, hash, sealed_at FROM audit.audit_log_seals WHERE month = $1";

/// The query that compares the page `$2` of the month `$1` with the log. The page begins with
/// `($3, $4)`, the month ends before `$5`. `$6` is the hash of the page before.
pub(crate) const VERIFY_PAGE: &str = concat!(
    "WITH actual AS MATERIALIZED (SELECT e.*, \
        pg_catalog.row_number() OVER (ORDER BY e.created_at, e.id) AS place FROM (",
    entries!(),
    " WHERE l.created_at >= $3 AND l.created_at < $5 AND (l.created_at, l.id) >= ($3, $4) \
            AND (l.created_at, l.id) < ( \
                COALESCE((SELECT first_created_at FROM audit.audit_log_seal_pages WHERE month = $1 AND page = $2 + 1), $5), \
                COALESCE((SELECT first_id FROM audit.audit_log_seal_pages WHERE month = $1 AND page = $2 + 1), \
                    '00000000-0000-0000-0000-000000000000'::uuid)) \
        ) AS e), \
    sealed AS MATERIALIZED ( \
        SELECT e.id, e.digest, e.place, COALESCE(n.digest, e.digest) AS expected \
        FROM audit.audit_log_seal_pages AS p CROSS JOIN LATERAL \
            ROWS FROM (pg_catalog.unnest(p.ids), pg_catalog.unnest(p.digests)) WITH ORDINALITY AS e (id, digest, place) \
        LEFT JOIN ( \
            SELECT DISTINCT ON (entry_id) entry_id, sealed, digest FROM audit.audit_log_anonymizations \
            WHERE month = $1 ORDER BY entry_id, generation DESC) AS n \
            ON n.entry_id = e.id AND n.sealed = e.digest \
        WHERE p.month = $1 AND p.page = $2), \
    different AS ( \
        SELECT COALESCE(s.id, a.id) AS id, a.id IS NULL AS is_gone, s.id IS NULL AS is_new \
        FROM actual AS a FULL JOIN sealed AS s ON s.id = a.id \
        WHERE a.digest IS DISTINCT FROM s.expected \
        ORDER BY LEAST(a.place, s.place), is_new LIMIT 1) \
    SELECT p.hash, pg_catalog.cardinality(p.ids)::bigint AS entries, \
        p.hash = pg_catalog.sha256($6 \
            || (SELECT pg_catalog.string_agg(digest, ''::bytea ORDER BY place) FROM sealed)) AS is_chained, \
        n.first_created_at AS next_created_at, n.first_id AS next_id, \
        d.id, CASE \
            WHEN d.is_gone AND NOT EXISTS (SELECT FROM audit.audit_logs AS l \
                WHERE l.id = d.id AND l.created_at >= $7 AND l.created_at < $5) THEN 'removed' \
            WHEN d.is_new AND NOT EXISTS (SELECT FROM audit.audit_log_seal_pages AS o \
                WHERE o.month = $1 AND d.id = ANY (o.ids)) THEN 'added' \
            WHEN d.id IS NOT NULL THEN 'changed' END AS difference \
    FROM (SELECT 1) AS one \
    LEFT JOIN audit.audit_log_seal_pages AS p ON p.month = $1 AND p.page = $2 \
    LEFT JOIN audit.audit_log_seal_pages AS n ON n.month = $1 AND n.page = $2 + 1 \
    LEFT JOIN different AS d ON TRUE"
);

/// The query that checks whether the seal of the month `$1` is that of `$2` entries and the last
/// page's hash `$3`.
pub(crate) const IS_INTACT: &str = "SELECT entries = $2 AND hash = pg_catalog.sha256($3) AS yes FROM audit.audit_log_seals WHERE month = $1";

/// The query for what was anonymized in the months `$1` after they were sealed.
pub(crate) const ANONYMIZED: &str = "SELECT month, pg_catalog.count(DISTINCT entry_id) AS entries, \
        pg_catalog.sha256(pg_catalog.string_agg(pg_catalog.uuid_send(entry_id) \
            || pg_catalog.int4send(generation) || sealed || digest, ''::bytea ORDER BY entry_id, generation)) AS hash \
    FROM audit.audit_log_anonymizations WHERE month = ANY ($1) GROUP BY month ORDER BY month";

/// The row of [`ANONYMIZED`].
#[derive(QueryableByName)]
pub(crate) struct AnonymizedRow {
    #[diesel(sql_type = diesel::sql_types::Date)]
    pub(crate) month: chrono::NaiveDate,
    #[diesel(sql_type = BigInt)]
    pub(crate) entries: i64,
    #[diesel(sql_type = Binary)]
    pub(crate) hash: Vec<u8>,
}

/// The row of [`SEAL_PAGE`].
#[derive(QueryableByName)]
pub(crate) struct SealedPage {
    #[diesel(sql_type = BigInt)]
    pub(crate) entries: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub(crate) id: Option<uuid::Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) hash: Option<Vec<u8>>,
}

/// The row of [`SEAL`] and [`FIND`].
#[derive(QueryableByName)]
pub(crate) struct SealRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) entries: i64,
    #[diesel(sql_type = Binary)]
    pub(crate) hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) sealed_at: DateTime<Utc>,
}

/// The row of [`VERIFY_PAGE`].
#[derive(QueryableByName)]
pub(crate) struct VerifiedPage {
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) hash: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) entries: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub(crate) is_chained: Option<bool>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) next_created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub(crate) next_id: Option<uuid::Uuid>,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    pub(crate) id: Option<uuid::Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) difference: Option<String>,
}

/// The types of the parameters, as the golden files name them.
#[cfg(test)]
pub(crate) const TEXTS: [(&str, &str, &str); 8] = [
    ("audit_log_is_seen", "", SEES_ALL),
    ("audit_month_is_closed", "timestamptz", IS_CLOSED),
    (
        "audit_seal_page",
        "date, int4, timestamptz, uuid, timestamptz, bytea",
        SEAL_PAGE,
    ),
    ("audit_seal", "date, int8, bytea", SEAL),
    ("audit_seal_find", "date", FIND),
    (
        "audit_verify_page",
        "date, int4, timestamptz, uuid, timestamptz, bytea, timestamptz",
        VERIFY_PAGE,
    ),
    ("audit_seal_is_intact", "date, int8, bytea", IS_INTACT),
    ("audit_anonymized", "date[]", ANONYMIZED),
];
