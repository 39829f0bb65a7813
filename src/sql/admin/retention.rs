//! The statements of the retention of analyses.
//!
//! The analyses are examined in pages, oldest first. A batch of those that are to be deleted is
//! locked, and judged again by another statement under the lock. For a pin that was committed
//! between the page and the lock is not in the snapshot of the statement that locks.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Timestamptz, Uuid};

use crate::AnalysisId;

/// The number of analyses that a page examines.
pub(crate) const PAGE: usize = 500;

/// The columns `is_pinned` and `is_surplus` of an analysis `a`. `$1` is the number of the newest
/// that are kept, `$2` the age up to which all are kept, and `$3` the time in which a new one is
/// tracked, both in milliseconds.
///
/// The last of the newest is looked up from the newest on, by the index that serves `latest`. To
/// count those that are newer than `a` would read all of them.
macro_rules! judgment {
    () => {
        "EXISTS (SELECT FROM analysis.analysis_pins AS p WHERE p.analysis_id = a.id) AS is_pinned, \
        EXISTS (SELECT FROM analysis.analysis_removals AS r WHERE r.analysis_id = a.id) \
        OR COALESCE(a.completed_at, a.created_at) < pg_catalog.now() - $2 * INTERVAL '1 millisecond' \
            AND CASE a.status \
                WHEN 'pending'::analysis.analysis_status THEN FALSE \
                WHEN 'running'::analysis.analysis_status THEN EXISTS ( \
                    SELECT FROM analysis.analysis_leases AS l WHERE l.analysis_id = a.id \
                        AND l.expires_at < pg_catalog.now() - GREATEST($2 * INTERVAL '1 millisecond', INTERVAL '1 day')) \
                ELSE COALESCE((a.created_at, a.id) < ( \
                    SELECT n.created_at, n.id FROM analysis.analyses AS n \
                    WHERE n.project_id = a.project_id AND n.type = a.type \
                        AND n.status NOT IN ('pending'::analysis.analysis_status, 'running'::analysis.analysis_status) \
                        AND (n.status = 'completed'::analysis.analysis_status) = (a.status = 'completed'::analysis.analysis_status) \
                        AND COALESCE(n.completed_at, n.created_at) <= pg_catalog.now() - $3 * INTERVAL '1 millisecond' \
                    ORDER BY n.created_at DESC, n.id DESC OFFSET $1 - 1 LIMIT 1), FALSE) \
            END AS is_surplus"
    };
}

/// The number of rows of the analysis `j` in a table, at most `$7`.
macro_rules! rows_in {
    ($table:literal) => {
        concat!(
            "(SELECT pg_catalog.count(*) FROM (SELECT FROM analysis.",
            $table,
            " AS c WHERE c.analysis_id = j.id LIMIT $7) AS counted)"
        )
    };
}

/// The query that examines a page of analyses after `($4, $5)`, of the project `$6` or of all.
pub(crate) const EXAMINE: &str = concat!(
    "WITH page AS MATERIALIZED ( \
        SELECT id, created_at, project_id, type, status, completed_at FROM analysis.analyses \
        WHERE created_at < pg_catalog.now() - $2 * INTERVAL '1 millisecond' \
            AND (created_at, id) > (COALESCE($4, '-infinity'::timestamptz), $5) \
            AND ($6 IS NULL OR project_id = $6) \
        ORDER BY created_at, id LIMIT 500), \
    judged AS MATERIALIZED (SELECT a.id, a.created_at, ",
    judgment!(),
    " FROM page AS a) \
    SELECT j.id, j.created_at, j.is_pinned, j.is_surplus, \
        CASE WHEN j.is_surplus AND NOT j.is_pinned THEN ",
    rows_in!("analysis_issues"),
    " ELSE 0 END AS issues, \
        CASE WHEN j.is_surplus AND NOT j.is_pinned THEN ",
    rows_in!("analysis_results"),
    " ELSE 0 END AS results \
    FROM judged AS j ORDER BY j.created_at, j.id"
);

/// The query for the analyses whose removal has begun.
pub(crate) const BEGUN: &str = "SELECT analysis_id AS id FROM analysis.analysis_removals \
    ORDER BY begun_at, analysis_id LIMIT 500";

/// The query that locks those of the analyses `$1` that no other transaction has locked.
pub(crate) const LOCK: &str =
    "SELECT id FROM analysis.analyses WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED";

/// The query for those of the analyses `$4` that are still to be deleted.
pub(crate) const JUDGE: &str = concat!(
    "SELECT j.id FROM (SELECT a.id, ",
    judgment!(),
    " FROM analysis.analyses AS a WHERE a.id = ANY ($4)) AS j WHERE j.is_surplus AND NOT j.is_pinned"
);

/// The statement that notes that the removal of the analysis `$1` has begun.
pub(crate) const BEGIN_REMOVAL: &str = "INSERT INTO analysis.analysis_removals (analysis_id) VALUES ($1) \
    ON CONFLICT (analysis_id) DO NOTHING";

/// The statement that deletes up to `$2` issues of the analysis `$1`.
pub(crate) const SLICE_OF_ISSUES: &str = "DELETE FROM analysis.analysis_issues WHERE id = ANY (ARRAY( \
    SELECT id FROM analysis.analysis_issues WHERE analysis_id = $1 LIMIT $2))";

/// The statement that deletes up to `$2` results of the analysis `$1`.
pub(crate) const SLICE_OF_RESULTS: &str = "DELETE FROM analysis.analysis_results WHERE id = ANY (ARRAY( \
    SELECT id FROM analysis.analysis_results WHERE analysis_id = $1 LIMIT $2))";

/// The statement that sets the longest wait of the transaction for a lock.
pub(crate) const SET_LOCK_TIMEOUT: &str =
    "SELECT pg_catalog.set_config('lock_timeout', '2s', true) AS setting";

/// The statement that deletes up to `$1` dependency graphs without an analysis, except the newest
/// graph of each project.
pub(crate) const REMOVE_GRAPHS: &str = "DELETE FROM analysis.dependency_graphs WHERE id = ANY (ARRAY( \
    SELECT g.id FROM analysis.dependency_graphs AS g \
    WHERE g.analysis_id IS NULL AND EXISTS ( \
        SELECT FROM analysis.dependency_graphs AS n \
        WHERE n.project_id = g.project_id AND (n.created_at, n.id) > (g.created_at, g.id)) \
    LIMIT $1 FOR UPDATE OF g SKIP LOCKED))";

/// The row of [`EXAMINE`].
#[derive(QueryableByName)]
pub(crate) struct Examined {
    #[diesel(sql_type = Uuid)]
    pub(crate) id: AnalysisId,
    #[diesel(sql_type = Timestamptz, deserialize_as = crate::types::timestamp::AnyTime)]
    pub(crate) created_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub(crate) is_pinned: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) is_surplus: bool,
    #[diesel(sql_type = BigInt)]
    pub(crate) issues: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) results: i64,
}

impl Examined {
    /// Checks whether the analysis is to be deleted.
    pub(crate) fn is_doomed(&self) -> bool {
        self.is_surplus && !self.is_pinned
    }

    /// Returns the number of issues and results that are to be deleted.
    pub(crate) fn rows(&self) -> u64 {
        crate::models::partitions::unsigned(self.issues.saturating_add(self.results))
    }
}

/// A row with the key of an analysis.
#[derive(QueryableByName)]
pub(crate) struct Key {
    #[diesel(sql_type = Uuid)]
    pub(crate) id: AnalysisId,
}

/// The row of [`SET_LOCK_TIMEOUT`].
#[derive(QueryableByName)]
pub(crate) struct Setting {
    #[diesel(sql_type = Nullable<diesel::sql_types::Text>)]
    #[expect(dead_code, reason = "only the effect of the statement matters")]
    setting: Option<String>,
}

/// The types of the parameters, as the golden files name them.
#[cfg(test)]
pub(crate) const TEXTS: [(&str, &str, &str); 9] = [
    (
        "retention_examine",
        "int4, int8, int8, timestamptz, uuid, uuid, int8",
        EXAMINE,
    ),
    ("retention_removals", "", BEGUN),
    ("retention_lock", "uuid[]", LOCK),
    ("retention_judge", "int4, int8, int8, uuid[]", JUDGE),
    ("retention_begin_removal", "uuid", BEGIN_REMOVAL),
    ("retention_slice_of_issues", "uuid, int8", SLICE_OF_ISSUES),
    ("retention_slice_of_results", "uuid, int8", SLICE_OF_RESULTS),
    ("retention_lock_timeout", "", SET_LOCK_TIMEOUT),
    ("remove_orphaned_graphs", "int8", REMOVE_GRAPHS),
];
