//! The erasure of users and organizations.

use chrono::NaiveDate;
use diesel::sql_query;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::super::audit_seals::{anonymized, check_sight};
use super::super::organizations::delete_organization;
use super::super::users::touch_user;
use super::super::{Executor, UnitOfWork};
use super::{
    Db, ErasedOrganization, ErasedRows, ErasedUser, ErasureAction, UserErasure, personal_columns,
    repository,
};
use crate::models::partitions::unsigned;
use crate::sql::admin::erasure::{
    ANONYMIZE_USER, Anonymized, BEGIN, DELETE_SETUP_PROFILES, DELETE_SETUP_SESSIONS, Key,
    LOCK_OWNERS, LOCK_PROJECT_OWNERS, LOCK_SEALS, LOCK_USER, ONLY_OWNER, ONLY_PROJECT_OWNER,
    ORGANIZATION_LEAVES, ORGANIZATION_LEAVES_AGAIN, OneText, Patterns, SUCCEED,
    SUCCEED_IN_PROJECTS, SYSTEM_LOG, Setting, USER_LEAVES, USER_LEAVES_AGAIN, treat,
};
use crate::sql::delete_by_id;
use crate::sql::partitions::Number;
use crate::write_set::Everything;
use crate::{
    AnonymizedMonth, Error, OrganizationId, ProjectId, Result, SetupProfileId, User, UserId,
};

/// Erases a user: what is stored of the person is removed, and what others need stays without it.
///
/// One transaction does all of it, or nothing:
///
/// - The sessions, memberships and setup sessions of the user are deleted.
/// - What the user has created goes to the successor, which thereby has the access of a creator,
///   and the row of the user is deleted. Without a successor the row stays, inactive and without
///   personal data, and keeps its id.
/// - The entries of the audit log and of the system log stay. The id of the user, its addresses,
///   its network address and user agent, and the recorded columns of its row are removed from them,
///   in every month.
///
/// [`personal_columns`] lists the columns. The result says what was found in each, what was done,
/// and why. Not reached are documents of the application, for example a project's configuration;
/// months of the logs that were detached or archived; backups; and the server's own log. A name is
/// not searched for: it may be a common word.
///
/// # Sealed months
/// A seal stays as it is. [`verify`](crate::AuditLogRepository::verify) returns
/// [`AuditVerdict::Anonymized`](crate::AuditVerdict::Anonymized) for such a month, and still finds
/// every other change. It is not the verdict for an entry that was altered before the erasure.
///
/// # Rights and locks
/// Needs the owner of the tables: only it may change the logs. No other role can, whatever it sets.
/// The call has a connection of its own without time limits for statements, because it reads both
/// logs: a million entries take some seconds. It locks the user, and keeps months from being sealed
/// meanwhile. It waits at most 10 s for a lock.
///
/// Behind the cache, the writes are fenced as a deletion of the user is; if rows of others were
/// changed, the whole cache is.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such user, or no such successor
/// - [`Error::InvalidInput`] if the user is its own successor, an address is none, or row-level
///   security hides rows from the role
/// - [`Error::Other`] with SQLSTATE 42501 if the role is not the owner
///
/// # Cancel safety
/// If the future is dropped, nothing was done, unless the commit had begun.
#[repository]
pub async fn erase_user(db: &Db, user: UserId, erasure: &UserErasure) -> Result<ErasedUser> {
    erasure.check()?;
    if erasure.successor == Some(user) {
        return Err(Error::invalid("successor", "is the user itself"));
    }
    let patient = super::patient(db)?;
    let executor = patient.executor();
    let unit = UnitOfWork::begin(&executor).await?;
    let outcome = erase(&unit.executor(), user, erasure).await;
    unit.end(outcome).await
}

/// Erases an organization: deletes it with all of its rows, and anonymizes the audit log.
///
/// One transaction does all of it, or nothing:
///
/// - The organization is deleted with its memberships, projects, configurations, integrations and
///   setup profiles, and the setup sessions with these profiles.
/// - The entries of the audit log stay. The id of the organization is removed from them, and the
///   recorded values of entries of the organization.
///
/// The users stay: see [`erase_user`], which also describes rights, locks, sealed months, and what
/// is not reached.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such organization
/// - [`Error::InvalidInput`] if row-level security hides rows from the role
/// - [`Error::Other`] with SQLSTATE 42501 if the role is not the owner
///
/// # Cancel safety
/// If the future is dropped, nothing was done, unless the commit had begun.
#[repository]
pub async fn erase_organization(db: &Db, id: OrganizationId) -> Result<ErasedOrganization> {
    let patient = super::patient(db)?;
    let executor = patient.executor();
    let unit = UnitOfWork::begin(&executor).await?;
    let outcome = erase_all_of(&unit.executor(), id).await;
    unit.end(outcome).await
}

/// Begins an erasure.
#[repository]
async fn begin(executor: &Executor<'_>) -> Result<()> {
    check_sight(executor).await?;
    let _: Vec<Setting> = executor.load(sql_query(BEGIN)).await?;
    executor.execute(sql_query(LOCK_SEALS)).await?;
    Ok(())
}

#[repository]
async fn erase(executor: &Executor<'_>, user: UserId, erasure: &UserErasure) -> Result<ErasedUser> {
    begin(executor).await?;
    let lock = sql_query(LOCK_USER).into_boxed().bind::<SqlUuid, _>(user);
    let address: Option<OneText> = executor.first(lock).await?;
    let address = address.ok_or(Error::NotFound { what: "User" })?.text;
    if let Some(successor) = erasure.successor {
        let lock = sql_query(LOCK_USER)
            .into_boxed()
            .bind::<SqlUuid, _>(successor);
        let found: Option<OneText> = executor.first(lock).await?;
        found.ok_or(Error::NotFound { what: "successor" })?;
    }
    touch_user(executor, user).await?;

    for statement in [LOCK_OWNERS, LOCK_PROJECT_OWNERS] {
        let lock = sql_query(statement).into_boxed().bind::<SqlUuid, _>(user);
        let _: Vec<Key> = executor.load(lock).await?;
    }
    let organizations = keys(executor, ONLY_OWNER, user).await?;
    let projects = keys(executor, ONLY_PROJECT_OWNER, user).await?;
    let mut touches_others = false;
    if let Some(successor) = erasure.successor {
        for (statement, ids) in [(SUCCEED, &organizations), (SUCCEED_IN_PROJECTS, &projects)] {
            let succeed = sql_query(statement)
                .into_boxed()
                .bind::<Array<SqlUuid>, _>(ids.as_slice())
                .bind::<SqlUuid, _>(successor);
            touches_others |= executor.execute(succeed).await? > 0;
        }
    }

    let mut rows = Vec::new();
    for column in personal_columns().iter().filter(|one| one.is_reference()) {
        let action = match erasure.successor {
            Some(_) => column.with_successor,
            None => column.without_successor,
        };
        let statement = sql_query(treat(column, action))
            .into_boxed()
            .bind::<SqlUuid, _>(user);
        let found = match action {
            ErasureAction::Reassigned => {
                let statement = statement.bind::<SqlUuid, _>(erasure.successor.unwrap_or(user));
                executor.execute(statement).await?
            }
            ErasureAction::Deleted | ErasureAction::Cleared => executor.execute(statement).await?,
            ErasureAction::Anonymized | ErasureAction::Kept => {
                unsigned(executor.one::<_, Number>(statement).await?.number)
            }
        };
        touches_others |=
            matches!(action, ErasureAction::Reassigned | ErasureAction::Cleared) && found > 0;
        rows.push(ErasedRows {
            table: column.table,
            column: column.column,
            action,
            rows: found,
        });
    }
    if touches_others {
        executor.record_write(&Everything);
    }

    let mut addresses = erasure.addresses.clone();
    // An address that another client has stored may be no more than a word.
    if address.contains('@') {
        addresses.push(address);
    }
    let patterns = Patterns::new(user.as_uuid(), &addresses);
    let mut log = Log::default();
    log.anonymize(executor, USER_LEAVES, user.into(), &patterns)
        .await?;
    let system_log = sql_query(SYSTEM_LOG)
        .into_boxed()
        .bind::<SqlUuid, _>(user)
        .bind::<Text, _>(patterns.text.as_str())
        .bind::<Text, _>(patterns.document.as_str());
    let of_system = executor.execute(system_log).await?;
    let (of_user, action) = match erasure.successor {
        Some(_) => {
            let deleted = executor.execute(delete_by_id::<User>(user)).await?;
            (deleted, ErasureAction::Deleted)
        }
        None => {
            let anonymize = sql_query(ANONYMIZE_USER)
                .into_boxed()
                .bind::<SqlUuid, _>(user);
            let anonymized = executor.execute(anonymize).await?;
            (anonymized, ErasureAction::Anonymized)
        }
    };
    if of_user != 1 {
        return Err(Error::Suppressed { what: "User" });
    }
    // The entries of the statements above.
    log.anonymize(executor, USER_LEAVES_AGAIN, user.into(), &patterns)
        .await?;
    rows.push(log.rows("user_id"));
    for (table, column, action, found) in [
        (
            "audit.system_logs",
            "user_id",
            ErasureAction::Anonymized,
            of_system,
        ),
        ("public.users", "id", action, of_user),
    ] {
        rows.push(ErasedRows {
            table,
            column,
            action,
            rows: found,
        });
    }
    let is_deleted = erasure.successor.is_some();
    let (organizations, projects) = match is_deleted {
        true => (Vec::new(), Vec::new()),
        false => (organizations, projects),
    };
    Ok(ErasedUser {
        user_id: user,
        is_deleted,
        rows,
        organizations_without_owner: organizations
            .into_iter()
            .map(OrganizationId::from)
            .collect(),
        projects_without_owner: projects.into_iter().map(ProjectId::from).collect(),
        sealed_months: log.sealed_months(executor).await?,
    })
}

#[repository]
async fn erase_all_of(executor: &Executor<'_>, id: OrganizationId) -> Result<ErasedOrganization> {
    begin(executor).await?;
    let sessions = sql_query(DELETE_SETUP_SESSIONS)
        .into_boxed()
        .bind::<SqlUuid, _>(id);
    let sessions = executor.execute(sessions).await?;
    let profiles = keys(executor, DELETE_SETUP_PROFILES, id).await?;
    for &profile in &profiles {
        let profile = SetupProfileId::from(profile);
        executor.record_write(&crate::write_set::Key::SetupProfile(profile));
    }
    let patterns = Patterns::new(id.as_uuid(), &[]);
    let mut log = Log::default();
    log.anonymize(executor, ORGANIZATION_LEAVES, id.into(), &patterns)
        .await?;
    if !delete_organization(executor, id).await? {
        return Err(Error::NotFound {
            what: "Organization",
        });
    }
    log.anonymize(executor, ORGANIZATION_LEAVES_AGAIN, id.into(), &patterns)
        .await?;
    let deleted = |table, column, rows| ErasedRows {
        table,
        column,
        action: ErasureAction::Deleted,
        rows,
    };
    Ok(ErasedOrganization {
        organization_id: id,
        rows: vec![
            deleted("setup.setup_sessions", "profile_id", sessions),
            deleted(
                "setup.setup_profiles",
                "organization_id",
                profiles.len() as u64,
            ),
            log.rows("organization_id"),
            deleted("public.organizations", "id", 1),
        ],
        sealed_months: log.sealed_months(executor).await?,
    })
}

/// Returns the keys that a statement with one parameter returns.
#[repository]
async fn keys(
    executor: &Executor<'_>,
    statement: &'static str,
    of: impl Into<Uuid> + Send,
) -> Result<Vec<Uuid>> {
    let query = sql_query(statement)
        .into_boxed()
        .bind::<SqlUuid, _>(of.into());
    let keys: Vec<Key> = executor.load(query).await?;
    Ok(keys.into_iter().map(|key| key.id).collect())
}

/// The entries of the audit log that were anonymized.
#[derive(Default)]
struct Log {
    entries: u64,
    months: Vec<NaiveDate>,
}

impl Log {
    fn rows(&self, column: &'static str) -> ErasedRows {
        ErasedRows {
            table: "audit.audit_logs",
            column,
            action: ErasureAction::Anonymized,
            rows: self.entries,
        }
    }
}

#[repository]
impl Log {
    /// Anonymizes the entries that name a user or an organization.
    #[unboxed]
    async fn anonymize(
        &mut self,
        executor: &Executor<'_>,
        statement: &'static str,
        id: Uuid,
        patterns: &Patterns,
    ) -> Result<()> {
        let statement = sql_query(statement)
            .into_boxed()
            .bind::<SqlUuid, _>(id)
            .bind::<Text, _>(patterns.document.as_str());
        let done: Anonymized = executor.one(statement).await?;
        self.entries += unsigned(done.entries);
        self.months.extend(done.months);
        Ok(())
    }

    /// Returns the sealed months with entries that were anonymized.
    #[unboxed]
    async fn sealed_months(&self, executor: &Executor<'_>) -> Result<Vec<AnonymizedMonth>> {
        anonymized(executor, self.months.clone()).await
    }
}
