//! The rights that a role of the database needs for the calls of this crate.

use std::fmt::Write as _;

use super::way_back;
use crate::{Error, Result, Table};

/// The list of the applied migrations.
const LIST: &str = "public.__diesel_schema_migrations";

/// The work that a role of the database is for, and so the rights that it needs.
///
/// No role may create or change tables, nor the code of triggers: only the owner may, with which
/// migrations run. Partitions of logs are tables, so that their care is the owner's as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rights {
    /// Every call of the repositories. Entries of logs are added and read, and neither changed nor
    /// deleted.
    Application,
    /// The reads of all tables except logs. The columns with secrets cannot be read: hashes of
    /// tokens, credentials, webhook secrets and the values of settings. Calls that return rows of
    /// user sessions, integrations and settings are therefore refused; those that count them work.
    ReadOnly,
    /// The reads of the audit log and the system log.
    Auditor,
    /// The deletion of what has expired, and the requeuing of what was abandoned:
    /// `Sessions::prune`, `UserSessionRepository::delete_expired`,
    /// `InvitationRepository::delete_expired` and `AnalysisRepository::requeue_abandoned`.
    Maintenance,
}

/// A table or view, its columns with secrets, and the privileges for each of [`Rights`].
struct Grants {
    relation: &'static str,
    secrets: &'static [&'static str],
    application: &'static str,
    maintenance: &'static str,
}

const ALL: &str = "SELECT, INSERT, UPDATE, DELETE";

/// The relations of this crate that are not tables of the design.
const OTHERS: [Grants; 11] = [
    Grants {
        relation: "public.organization_invitations",
        secrets: &[],
        application: ALL,
        maintenance: "SELECT, UPDATE, DELETE",
    },
    Grants {
        relation: "public.user_session_families",
        secrets: &["predecessor_hash"],
        application: "SELECT, INSERT, UPDATE",
        maintenance: "",
    },
    Grants {
        relation: "public.rotated_refresh_tokens",
        secrets: &["token_hash"],
        application: ALL,
        maintenance: "SELECT, UPDATE, DELETE",
    },
    // The trigger that deletes leases and counts has its owner's rights.
    Grants {
        relation: "analysis.analysis_leases",
        secrets: &[],
        application: "SELECT, INSERT, UPDATE",
        maintenance: "SELECT, UPDATE",
    },
    Grants {
        relation: "analysis.analysis_abandonments",
        secrets: &[],
        application: "SELECT, INSERT, UPDATE",
        maintenance: "SELECT, INSERT, UPDATE",
    },
    Grants {
        relation: "analysis.analysis_pins",
        secrets: &[],
        application: ALL,
        maintenance: "",
    },
    // The trigger that keeps a pin from an analysis that is being removed has its owner's rights.
    Grants {
        relation: "analysis.analysis_removals",
        secrets: &[],
        application: "SELECT, INSERT",
        maintenance: "",
    },
    Grants {
        relation: "audit.audit_log_seals",
        secrets: &[],
        application: "SELECT, INSERT",
        maintenance: "",
    },
    Grants {
        relation: "audit.audit_log_seal_pages",
        secrets: &[],
        application: "SELECT, INSERT",
        maintenance: "",
    },
    Grants {
        relation: "audit.audit_log_anonymizations",
        secrets: &[],
        application: "SELECT",
        maintenance: "",
    },
    Grants {
        relation: "cache.project_stats",
        secrets: &[],
        application: "SELECT",
        maintenance: "",
    },
];

/// The functions that are called by name.
const FUNCTIONS: [&str; 2] = [
    "analysis.get_analysis_trends(uuid, text, integer)",
    "cache.project_stats_of(uuid[])",
];

fn is_log(relation: &str) -> bool {
    relation.starts_with("audit.")
}

/// Returns the grants of a table of the design.
fn of_table(table: Table) -> Grants {
    Grants {
        relation: table.as_str(),
        secrets: table.secrets(),
        application: match table {
            Table::AuditLogs | Table::SystemLogs => "SELECT, INSERT",
            _ => ALL,
        },
        maintenance: match table {
            // A deleted session is returned with its hash, under which it is cached.
            Table::UserSessions => "SELECT, UPDATE, DELETE",
            Table::Analyses => "SELECT, UPDATE",
            _ => "",
        },
    }
}

impl Grants {
    /// Returns the privileges, and the columns that they do not include.
    fn of(&self, rights: Option<Rights>) -> (&'static str, &'static [&'static str]) {
        match rights {
            None => ("", &[]),
            Some(Rights::Application) => (self.application, &[]),
            Some(Rights::ReadOnly) if is_log(self.relation) => ("", &[]),
            Some(Rights::ReadOnly) => ("SELECT", self.secrets),
            Some(Rights::Auditor) if is_log(self.relation) => ("SELECT", &[]),
            Some(Rights::Auditor) => ("", &[]),
            Some(Rights::Maintenance) => (self.maintenance, &[]),
        }
    }
}

/// Returns the schemas that a role must be able to use.
fn schemas(rights: Rights) -> &'static str {
    match rights {
        Rights::Application | Rights::ReadOnly => "public, analysis, setup, audit, cache",
        Rights::Auditor => "public, audit",
        Rights::Maintenance => "public, analysis, audit",
    }
}

/// Returns the SQL that [`grant`](crate::migrations::grant) executes, for a database whose rights
/// are given by hand. Its owner executes it.
///
/// ```
/// use wundr_db::migrations::{Rights, grant_sql};
///
/// let sql = grant_sql("wundr_app", Rights::Application)?;
/// assert!(sql.contains("'wundr_app'") && sql.ends_with("COMMIT;\n"));
/// # Ok::<(), wundr_db::Error>(())
/// ```
///
/// # Errors
/// - [`Error::InvalidInput`] if `role` cannot be the name of a role.
pub fn grant_sql(role: &str, rights: Rights) -> Result<String> {
    by_hand(role, Some(rights))
}

/// Returns the SQL that [`revoke`](crate::migrations::revoke) executes.
///
/// # Errors
/// - [`Error::InvalidInput`] if `role` cannot be the name of a role.
pub fn revoke_sql(role: &str) -> Result<String> {
    by_hand(role, None)
}

fn by_hand(role: &str, rights: Option<Rights>) -> Result<String> {
    let block = block(role, rights)?;
    Ok(format!(
        "BEGIN;\nSET LOCAL search_path = pg_catalog, pg_temp;\n{block};\nCOMMIT;\n"
    ))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Returns the block that gives a role these rights and takes all others from it.
pub(crate) fn block(role: &str, rights: Option<Rights>) -> Result<String> {
    // PostgreSQL takes these names for all roles and for no role, even in quotes.
    let is_word = matches!(role, "public" | "none");
    if role.is_empty() || role.len() > 63 || role.contains('\0') || is_word {
        return Err(Error::invalid("role", "is not the name of a role"));
    }
    let tables = Table::ALL.iter().copied().map(of_table);
    let mut rows = String::new();
    for grants in tables.chain(OTHERS) {
        let (privileges, hidden) = grants.of(rights);
        let separator = if rows.is_empty() { "" } else { ",\n" };
        let hidden = hidden.join(", ");
        // Writing to a string does not fail.
        let _ = write!(
            rows,
            "{separator}    ('{}', '{privileges}', '{{{hidden}}}')",
            grants.relation
        );
    }
    let functions = match rights {
        Some(Rights::Application | Rights::ReadOnly) => FUNCTIONS.join(", "),
        _ => String::new(),
    };
    let usage = rights.map_or("", schemas);
    let role = literal(role);
    let all_functions = way_back::FUNCTIONS.join(", ");
    Ok(format!(
        "DO $wundr$\n\
         DECLARE\n  \
           role_name CONSTANT NAME := {role};\n  \
           usage CONSTANT TEXT := '{usage}';\n  \
           callable CONSTANT TEXT := '{functions}';\n  \
           entry RECORD;\n  \
           named TEXT;\n  \
           owner OID;\n\
         BEGIN\n  \
           IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN\n    \
             RAISE EXCEPTION 'role \"%\" does not exist', role_name USING ERRCODE = 'undefined_object';\n  \
           END IF;\n  \
           FOR entry IN SELECT * FROM (VALUES\n{rows}\n  \
           ) AS entries (relation, privileges, hidden) LOOP\n    \
             SELECT relowner INTO STRICT owner FROM pg_catalog.pg_class\n      \
               WHERE oid = entry.relation::pg_catalog.regclass;\n    \
             -- PostgreSQL does no more than warn if a role grants that may not.\n    \
             IF NOT pg_catalog.pg_has_role(owner, 'USAGE') THEN\n      \
               RAISE EXCEPTION 'permission denied for table %: only its owner gives rights', entry.relation\n        \
                 USING ERRCODE = 'insufficient_privilege';\n    \
             END IF;\n    \
             -- A superuser, and a role with the rights of the owner, cannot be refused anything.\n    \
             IF usage <> '' AND pg_catalog.pg_has_role(role_name, owner, 'USAGE') THEN\n      \
               RAISE EXCEPTION 'role \"%\" has the rights of the owner of %', role_name, entry.relation\n        \
                 USING ERRCODE = 'invalid_grant_operation';\n    \
             END IF;\n    \
             EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %I', entry.relation, role_name);\n    \
             IF entry.privileges <> '' THEN\n      \
               SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attnum) INTO named\n        \
                 FROM pg_catalog.pg_attribute\n        \
                 WHERE attrelid = entry.relation::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped\n          \
                   AND attname <> ALL (entry.hidden::pg_catalog.name[]);\n      \
               EXECUTE CASE entry.hidden WHEN '{{}}'\n        \
                 THEN pg_catalog.format('GRANT %s ON %s TO %I', entry.privileges, entry.relation, role_name)\n        \
                 ELSE pg_catalog.format('GRANT SELECT (%s) ON %s TO %I', named, entry.relation, role_name) END;\n    \
             END IF;\n    \
             -- Access to a partition is checked there if a statement names it, without the policies\n    \
             -- of its table. A role that sets a sequence makes fences of its own.\n    \
             FOR named IN\n      \
               SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::pg_catalog.regclass\n      \
               FROM pg_catalog.pg_class AS c\n      \
               WHERE c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d\n          \
                   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid\n            \
                     AND d.refclassid = d.classid AND d.refobjid = entry.relation::pg_catalog.regclass)\n        \
                 OR c.relispartition AND c.oid IN (\n          \
                   SELECT relid FROM pg_catalog.pg_partition_tree(entry.relation::pg_catalog.regclass))\n    \
             LOOP\n      \
               EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %I', named, role_name);\n    \
             END LOOP;\n    \
             IF (SELECT pg_catalog.count(*) > 0 FROM pg_catalog.pg_class AS c,\n          \
                   LATERAL pg_catalog.aclexplode(c.relacl) AS a, pg_catalog.pg_roles AS r\n        \
                 WHERE c.oid = entry.relation::pg_catalog.regclass AND r.rolname = role_name AND a.grantee = r.oid)\n        \
               <> (entry.privileges <> '' AND entry.hidden = '{{}}') THEN\n      \
               RAISE EXCEPTION 'rights on % were given by another role than its owner', entry.relation\n        \
                 USING ERRCODE = 'insufficient_privilege';\n    \
             END IF;\n  \
           END LOOP;\n  \
           EXECUTE pg_catalog.format(\n    \
             'REVOKE ALL ON SCHEMA public, analysis, setup, audit, cache FROM %I', role_name);\n  \
           FOR named IN\n    \
             SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc AS p\n    \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace\n    \
             WHERE n.nspname || '.' || p.proname = ANY ('{{{all_functions}}}'::pg_catalog.text[])\n      \
               OR n.nspname = 'audit' AND pg_catalog.starts_with(p.proname, 'record_update_of_')\n  \
           LOOP\n    \
             EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %I', named, role_name);\n  \
           END LOOP;\n  \
           IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass('{LIST}')\n      \
               AND pg_catalog.pg_has_role(relowner, 'USAGE')) THEN\n    \
             EXECUTE pg_catalog.format('REVOKE ALL ON {LIST} FROM %I', role_name);\n  \
           END IF;\n  \
           -- Partitions are created later, and would have these.\n  \
           FOR entry IN\n    \
             SELECT d.defaclrole, n.nspname, d.defaclobjtype FROM pg_catalog.pg_default_acl AS d\n    \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace,\n    \
             LATERAL pg_catalog.aclexplode(d.defaclacl) AS a, pg_catalog.pg_roles AS r\n    \
             WHERE n.nspname IN ('analysis', 'setup', 'audit', 'cache') AND d.defaclobjtype IN ('r', 'S', 'f')\n      \
               AND r.rolname = role_name AND a.grantee = r.oid\n      \
               AND pg_catalog.pg_has_role(d.defaclrole, 'USAGE')\n  \
           LOOP\n    \
             EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE ALL ON %s FROM %I',\n      \
               pg_catalog.pg_get_userbyid(entry.defaclrole), entry.nspname,\n      \
               CASE entry.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'FUNCTIONS' END,\n      \
               role_name);\n  \
           END LOOP;\n  \
           IF usage <> '' THEN\n    \
             EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %s TO %I', usage, role_name);\n  \
           END IF;\n  \
           IF callable <> '' THEN\n    \
             EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, role_name);\n  \
           END IF;\n\
         END\n\
         $wundr$"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Rights, grant_sql, revoke_sql};

    #[test]
    fn a_name_that_stands_for_all_roles_is_refused() {
        for name in ["public", "none", "", "a\0b", &"a".repeat(64)] {
            assert!(grant_sql(name, Rights::ReadOnly).is_err(), "{name}");
            assert!(revoke_sql(name).is_err(), "{name}");
        }
        let quoted = grant_sql(r"it's \", Rights::Auditor).unwrap();
        assert!(quoted.contains(r"NAME := E'it''s \\';"), "{quoted}");
    }
}
