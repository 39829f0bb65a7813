//! The statements that erase a user or an organization.
//!
//! # The log
//!
//! The entries are found by their ids and by their documents, and changed by one statement. For an
//! entry of a sealed month it also keeps the digest after the change beside the sealed one, if the
//! entry had the digest that it was to have. The tables of the seals are locked meanwhile: a seal
//! that is written at the same time would have the entries as they were before.
//!
//! A deletion has entries of its own, if its table is watched. They have the time of the
//! transaction, and are anonymized by the same statement for entries since then.
//!
//! # Documents
//!
//! Ids and addresses are replaced in the text of a document. Within it they are parts of strings,
//! because neither has a quote, a backslash or a white space, and neither is a number or a word of
//! JSON. So the result is a document again.

use chrono::NaiveDate;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Date, Text, Uuid};

use crate::models::admin::{ErasureAction, PersonalColumn};
use crate::sql::audit_seals::digest;

/// The longest wait for a lock, and no limit to a statement that reads the whole log.
pub(crate) const BEGIN: &str = "SELECT pg_catalog.set_config('lock_timeout', '10s', true) AS setting \
    UNION ALL SELECT pg_catalog.set_config('statement_timeout', '0', true) \
    UNION ALL SELECT pg_catalog.set_config('wundr.erasure', 'on', true)";

/// The statement that keeps months from being sealed.
pub(crate) const LOCK_SEALS: &str =
    "LOCK TABLE audit.audit_log_seal_pages IN SHARE ROW EXCLUSIVE MODE";

/// The query that locks the user `$1` and returns its address.
pub(crate) const LOCK_USER: &str =
    "SELECT email AS text FROM public.users WHERE id = $1 FOR UPDATE";

/// The statement that anonymizes entries of the log: `$set` changes those that match `$where`.
macro_rules! anonymize {
    ($set:expr, $where:expr) => {
        concat!(
            "WITH chosen AS MATERIALIZED (SELECT l.id, l.created_at, ",
            digest!(),
            " AS digest FROM audit.audit_logs AS l WHERE ",
            $where,
            "), \
            changed AS ( \
                UPDATE audit.audit_logs AS l SET ",
            $set,
            " FROM chosen AS c WHERE l.id = c.id AND l.created_at = c.created_at \
                RETURNING l.id, c.digest AS former, ",
            digest!(),
            " AS digest, pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', l.created_at))::date AS month), \
            sealed AS ( \
                SELECT p.month, e.id, e.digest FROM audit.audit_log_seal_pages AS p CROSS JOIN LATERAL \
                    ROWS FROM (pg_catalog.unnest(p.ids), pg_catalog.unnest(p.digests)) AS e (id, digest) \
                WHERE p.month IN (SELECT month FROM changed)), \
            noted AS ( \
                INSERT INTO audit.audit_log_anonymizations (month, entry_id, generation, sealed, digest) \
                SELECT s.month, s.id, COALESCE(n.generation, 0) + 1, s.digest, c.digest \
                FROM changed AS c JOIN sealed AS s ON s.month = c.month AND s.id = c.id \
                LEFT JOIN LATERAL ( \
                    SELECT o.generation, o.digest FROM audit.audit_log_anonymizations AS o \
                    WHERE o.month = s.month AND o.entry_id = s.id AND o.sealed = s.digest \
                    ORDER BY o.generation DESC LIMIT 1) AS n ON TRUE \
                WHERE c.former = COALESCE(n.digest, s.digest) \
                RETURNING month) \
            SELECT (SELECT pg_catalog.count(*) FROM changed) AS entries, \
                COALESCE((SELECT pg_catalog.array_agg(DISTINCT month) FROM noted), '{}') AS months"
        )
    };
}

/// A document of an entry `l` without the user `$1`: without the columns that are its personal
/// data, and without what matches `$2`.
macro_rules! without_user {
    ($document:literal) => {
        concat!(
            "pg_catalog.regexp_replace((CASE \
                WHEN pg_catalog.jsonb_typeof(l.",
            $document,
            ") <> 'object' THEN l.",
            $document,
            " WHEN l.resource_type = 'user' AND l.resource_id = $1 THEN l.",
            $document,
            " - '{email,name,avatar_url,github_username,preferences,last_login_at}'::text[] \
                WHEN l.resource_type = 'user_session' AND l.",
            $document,
            " ->> 'user_id' = $1::text THEN l.",
            $document,
            " - '{ip_address,user_agent}'::text[] ELSE l.",
            $document,
            " END)::text, $2, '[erased]', 'gi')::jsonb"
        )
    };
}

/// The changes of an entry that names the user `$1`.
macro_rules! user_leaves {
    () => {
        concat!(
            "user_id = NULLIF(l.user_id, $1), resource_id = NULLIF(l.resource_id, $1), \
            ip_address = CASE WHEN l.user_id = $1 OR l.metadata ->> 'user' = $1::text THEN NULL ELSE l.ip_address END, \
            user_agent = CASE WHEN l.user_id = $1 OR l.metadata ->> 'user' = $1::text THEN NULL ELSE l.user_agent END, \
            old_values = ",
            without_user!("old_values"),
            ", new_values = ",
            without_user!("new_values"),
            ", metadata = ",
            without_user!("metadata")
        )
    };
}

/// The condition that an entry names the user `$1`, whose id and addresses match `$2`.
macro_rules! names_user {
    () => {
        "(l.user_id = $1 OR l.resource_id = $1 OR l.old_values::text ~* $2 OR l.new_values::text ~* $2 \
            OR l.metadata::text ~* $2)"
    };
}

/// The statement that anonymizes every entry that names the user `$1`. Its id and addresses match
/// `$2` in a document.
pub(crate) const USER_LEAVES: &str = anonymize!(user_leaves!(), names_user!());

/// The same for the entries of this transaction and later ones.
pub(crate) const USER_LEAVES_AGAIN: &str = anonymize!(
    user_leaves!(),
    concat!(names_user!(), " AND l.created_at >= pg_catalog.now()")
);

/// A document of an entry `l` of the organization `$1`, or without what matches `$2`.
macro_rules! without_organization {
    ($document:literal) => {
        concat!(
            "CASE WHEN l.organization_id = $1 OR l.resource_id = $1 THEN NULL \
                ELSE pg_catalog.regexp_replace(l.",
            $document,
            "::text, $2, '[erased]', 'gi')::jsonb END"
        )
    };
}

/// The changes of an entry that names the organization `$1`.
macro_rules! organization_leaves {
    () => {
        concat!(
            "organization_id = NULLIF(l.organization_id, $1), resource_id = NULLIF(l.resource_id, $1), \
            old_values = ",
            without_organization!("old_values"),
            ", new_values = ",
            without_organization!("new_values"),
            ", metadata = pg_catalog.regexp_replace(l.metadata::text, $2, '[erased]', 'gi')::jsonb"
        )
    };
}

/// The condition that an entry names the organization `$1`, whose id matches `$2`.
macro_rules! names_organization {
    () => {
        "(l.organization_id = $1 OR l.resource_id = $1 OR l.old_values::text ~* $2 OR l.new_values::text ~* $2 \
            OR l.metadata::text ~* $2)"
    };
}

/// The statement that anonymizes every entry that names the organization `$1`.
pub(crate) const ORGANIZATION_LEAVES: &str =
    anonymize!(organization_leaves!(), names_organization!());

/// The same for the entries of this transaction and later ones.
pub(crate) const ORGANIZATION_LEAVES_AGAIN: &str = anonymize!(
    organization_leaves!(),
    concat!(
        names_organization!(),
        " AND l.created_at >= pg_catalog.now()"
    )
);

/// The statement that anonymizes the system log. The id of the user `$1` and its addresses match
/// `$2` in a text, and `$3` in a document.
pub(crate) const SYSTEM_LOG: &str = "UPDATE audit.system_logs AS l SET user_id = NULLIF(l.user_id, $1), \
    message = pg_catalog.regexp_replace(l.message, $2, '[erased]', 'gi'), \
    data = pg_catalog.regexp_replace(l.data::text, $3, '[erased]', 'gi')::jsonb \
    WHERE l.user_id = $1 OR l.message ~* $2 OR l.data::text ~* $3";

/// The statement that removes the personal data from the row of the user `$1`.
pub(crate) const ANONYMIZE_USER: &str = "UPDATE public.users \
    SET email = 'erased-' || id || '@erased.invalid', name = 'Erased user', avatar_url = NULL, \
        github_username = NULL, preferences = '{}', is_active = FALSE, email_verified = FALSE, \
        last_login_at = NULL, role = 'viewer' \
    WHERE id = $1";

/// The query that locks the owners of the organizations that the user `$1` owns, so that none of
/// them is removed meanwhile.
pub(crate) const LOCK_OWNERS: &str = "SELECT m.id FROM public.organization_members AS m \
    WHERE m.role = 'owner' AND m.organization_id IN ( \
        SELECT o.organization_id FROM public.organization_members AS o WHERE o.user_id = $1 AND o.role = 'owner') \
    ORDER BY m.id FOR UPDATE";

/// The same for projects.
pub(crate) const LOCK_PROJECT_OWNERS: &str = "SELECT m.id FROM public.project_members AS m \
    WHERE m.role = 'owner' AND m.project_id IN ( \
        SELECT o.project_id FROM public.project_members AS o WHERE o.user_id = $1 AND o.role = 'owner') \
    ORDER BY m.id FOR UPDATE";

/// The query for the organizations whose only owner is the user `$1`.
pub(crate) const ONLY_OWNER: &str = "SELECT m.organization_id AS id FROM public.organization_members AS m \
    WHERE m.user_id = $1 AND m.role = 'owner' AND NOT EXISTS ( \
        SELECT FROM public.organization_members AS o \
        WHERE o.organization_id = m.organization_id AND o.role = 'owner' AND o.user_id <> $1) \
    ORDER BY 1";

/// The same for projects.
pub(crate) const ONLY_PROJECT_OWNER: &str = "SELECT m.project_id AS id FROM public.project_members AS m \
    WHERE m.user_id = $1 AND m.role = 'owner' AND NOT EXISTS ( \
        SELECT FROM public.project_members AS o \
        WHERE o.project_id = m.project_id AND o.role = 'owner' AND o.user_id <> $1) \
    ORDER BY 1";

/// The statement that makes the user `$2` an owner of the organizations `$1`.
pub(crate) const SUCCEED: &str = "INSERT INTO public.organization_members (organization_id, user_id, role) \
    SELECT o.id, $2, 'owner' FROM pg_catalog.unnest($1) AS o (id) \
    ON CONFLICT (organization_id, user_id) DO UPDATE SET role = 'owner'";

/// The same for projects.
pub(crate) const SUCCEED_IN_PROJECTS: &str = "INSERT INTO public.project_members (project_id, user_id, role) \
    SELECT o.id, $2, 'owner' FROM pg_catalog.unnest($1) AS o (id) \
    ON CONFLICT (project_id, user_id) DO UPDATE SET role = 'owner'";

/// The statement that deletes the sessions with setup profiles of the organization `$1`.
pub(crate) const DELETE_SETUP_SESSIONS: &str = "DELETE FROM setup.setup_sessions WHERE profile_id IN ( \
    SELECT id FROM setup.setup_profiles WHERE organization_id = $1)";

/// The statement that deletes the setup profiles of the organization `$1`.
pub(crate) const DELETE_SETUP_PROFILES: &str =
    "DELETE FROM setup.setup_profiles WHERE organization_id = $1 RETURNING id";

/// Returns the statement that treats the rows that name the user `$1` in a column: all of them are
/// names of the crate's own. A reassigned row gets the user `$2`.
pub(crate) fn treat(column: &PersonalColumn, action: ErasureAction) -> String {
    let PersonalColumn { table, column, .. } = column;
    match action {
        ErasureAction::Deleted => format!("DELETE FROM {table} WHERE {column} = $1"),
        ErasureAction::Reassigned => {
            format!("UPDATE {table} SET {column} = $2 WHERE {column} = $1")
        }
        ErasureAction::Cleared => {
            format!("UPDATE {table} SET {column} = NULL WHERE {column} = $1")
        }
        ErasureAction::Anonymized | ErasureAction::Kept => {
            format!("SELECT pg_catalog.count(*) AS number FROM {table} WHERE {column} = $1")
        }
    }
}

/// The patterns that a person's id and addresses match.
pub(crate) struct Patterns {
    /// In a text.
    pub(crate) text: String,
    /// In the text of a JSON document.
    pub(crate) document: String,
}

impl Patterns {
    /// Creates the patterns of an id and addresses. An address is not found within a longer one.
    pub(crate) fn new(id: &uuid::Uuid, addresses: &[String]) -> Self {
        const NOT_AFTER: &str = "(?<![[:alnum:]._%+-])";
        // In the text of a document an escape may come before it, whose letter is none of its own.
        const NOT_AFTER_IN_DOCUMENT: &str =
            r"(?:(?<![[:alnum:]._%+-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))";
        const NOT_BEFORE: &str = r"(?![[:alnum:]_-]|\.[[:alnum:]])";
        let pattern = |begin: &str, escaped: &dyn Fn(&String) -> String| {
            let addresses: Vec<_> = addresses.iter().map(escaped).collect();
            match addresses.is_empty() {
                true => id.to_string(),
                false => format!("{id}|{begin}(?:{}){NOT_BEFORE}", addresses.join("|")),
            }
        };
        Self {
            text: pattern(NOT_AFTER, &|address| escaped(address)),
            document: pattern(NOT_AFTER_IN_DOCUMENT, &|address| {
                let json = serde_json::Value::from(address.as_str()).to_string();
                escaped(json.trim_matches('"'))
            }),
        }
    }
}

/// Returns a regular expression that matches the text itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// A row with one text.
#[derive(QueryableByName)]
pub(crate) struct OneText {
    #[diesel(sql_type = Text)]
    pub(crate) text: String,
}

/// A row of [`BEGIN`].
#[derive(QueryableByName)]
pub(crate) struct Setting {
    #[diesel(sql_type = Text)]
    #[expect(dead_code, reason = "only the effect of the statement matters")]
    setting: String,
}

/// A row with a key.
#[derive(QueryableByName)]
pub(crate) struct Key {
    #[diesel(sql_type = Uuid)]
    pub(crate) id: uuid::Uuid,
}

/// The row of the statements that anonymize the audit log.
#[derive(QueryableByName)]
pub(crate) struct Anonymized {
    #[diesel(sql_type = BigInt)]
    pub(crate) entries: i64,
    #[diesel(sql_type = Array<Date>)]
    pub(crate) months: Vec<NaiveDate>,
}

/// The types of the parameters, as the golden files name them. A `LOCK` cannot be prepared.
#[cfg(test)]
pub(crate) const TEXTS: [(&str, &str, &str); 16] = [
    ("erasure_begin", "", BEGIN),
    ("erasure_lock_user", "uuid", LOCK_USER),
    ("erasure_user_leaves", "uuid, text", USER_LEAVES),
    ("erasure_user_leaves_again", "uuid, text", USER_LEAVES_AGAIN),
    (
        "erasure_organization_leaves",
        "uuid, text",
        ORGANIZATION_LEAVES,
    ),
    (
        "erasure_organization_leaves_again",
        "uuid, text",
        ORGANIZATION_LEAVES_AGAIN,
    ),
    ("erasure_system_log", "uuid, text, text", SYSTEM_LOG),
    ("erasure_anonymize_user", "uuid", ANONYMIZE_USER),
    ("erasure_lock_owners", "uuid", LOCK_OWNERS),
    ("erasure_lock_project_owners", "uuid", LOCK_PROJECT_OWNERS),
    ("erasure_only_owner", "uuid", ONLY_OWNER),
    ("erasure_only_project_owner", "uuid", ONLY_PROJECT_OWNER),
    ("erasure_succeed", "uuid[], uuid", SUCCEED),
    (
        "erasure_succeed_in_projects",
        "uuid[], uuid",
        SUCCEED_IN_PROJECTS,
    ),
    (
        "erasure_delete_setup_sessions",
        "uuid",
        DELETE_SETUP_SESSIONS,
    ),
    (
        "erasure_delete_setup_profiles",
        "uuid",
        DELETE_SETUP_PROFILES,
    ),
];

#[cfg(test)]
mod tests {
    use super::Patterns;

    #[test]
    fn an_address_is_escaped_in_its_pattern() {
        let patterns = Patterns::new(&uuid::Uuid::nil(), &["a+\"b@é.org".to_owned()]);
        assert!(
            patterns.text.contains(r#"(?:a\+\"b\@é\.org)"#),
            "{}",
            patterns.text
        );
        assert!(
            patterns.document.contains(r#"(?:a\+\\\"b\@é\.org)"#),
            "{}",
            patterns.document
        );
        let id = uuid::Uuid::nil();
        assert_eq!(Patterns::new(&id, &[]).document, id.to_string());
    }
}
