//! The statements that find secrets by their key and move them to another.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Uuid};

use super::{Identity, Statement};
use crate::{ConfigurationId, Document, IntegrationId, OrganizationId, ProjectId};

/// Writes the number of the key under which a text is sealed. It is NULL for a text in the clear.
///
/// The form is that of `Sealed::parse`.
fn push_key(text: &str, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql("pg_catalog.substring(");
    out.push_sql(text);
    out.push_sql(", '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer");
}

const CREDENTIALS: &str = "credentials #>> '{}'";
const WEBHOOK_SECRET: &str = "webhook_secret";
const VALUE: &str = "value #>> '{}'";

/// The statement that counts the secrets under each key.
#[derive(Clone)]
pub(crate) struct CountSecrets;

impl Statement for CountSecrets {
    type SqlType = (Nullable<Integer>, BigInt);
    type Id = Self;
    const IDENTITY: Identity = Identity::Type;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT secret.key, pg_catalog.count(*) FROM (SELECT ");
        push_key(CREDENTIALS, &mut out);
        out.push_sql(
            " AS key FROM setup.integrations WHERE credentials IS NOT NULL UNION ALL SELECT ",
        );
        push_key(WEBHOOK_SECRET, &mut out);
        out.push_sql(" FROM setup.integrations WHERE webhook_secret IS NOT NULL UNION ALL SELECT ");
        push_key(VALUE, &mut out);
        out.push_sql(
            " FROM setup.configurations WHERE is_encrypted) AS secret GROUP BY secret.key",
        );
        Ok(())
    }
}

/// The secrets of an integration, with its owner.
pub(crate) type IntegrationSecrets = (
    IntegrationId,
    Option<OrganizationId>,
    Option<ProjectId>,
    Option<Document>,
    Option<String>,
);

/// The statement that returns integrations with a secret that is not under the active key, in the
/// order of their ids.
#[derive(Clone)]
pub(crate) struct OtherIntegrations {
    pub(crate) after: IntegrationId,
    pub(crate) active: i32,
    pub(crate) limit: i64,
}

impl Statement for OtherIntegrations {
    type SqlType = (
        Uuid,
        Nullable<Uuid>,
        Nullable<Uuid>,
        Nullable<Jsonb>,
        Nullable<Text>,
    );
    type Id = Self;
    const IDENTITY: Identity = Identity::Type;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, organization_id, project_id, credentials, webhook_secret \
             FROM setup.integrations WHERE id > ",
        );
        out.push_bind_param::<Uuid, _>(&self.after)?;
        out.push_sql(" AND (credentials IS NOT NULL AND ");
        push_key(CREDENTIALS, &mut out);
        out.push_sql(" IS DISTINCT FROM ");
        out.push_bind_param::<Integer, _>(&self.active)?;
        out.push_sql(" OR webhook_secret IS NOT NULL AND ");
        push_key(WEBHOOK_SECRET, &mut out);
        out.push_sql(" IS DISTINCT FROM ");
        out.push_bind_param::<Integer, _>(&self.active)?;
        out.push_sql(") ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

/// The value of an encrypted setting, with its owner.
pub(crate) type SettingSecret = (
    ConfigurationId,
    Option<OrganizationId>,
    Option<ProjectId>,
    Document,
);

/// The statement that returns encrypted settings that are not under the active key, in the order of
/// their ids.
#[derive(Clone)]
pub(crate) struct OtherSettings {
    pub(crate) after: ConfigurationId,
    pub(crate) active: i32,
    pub(crate) limit: i64,
}

impl Statement for OtherSettings {
    type SqlType = (Uuid, Nullable<Uuid>, Nullable<Uuid>, Jsonb);
    type Id = Self;
    const IDENTITY: Identity = Identity::Type;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, organization_id, project_id, value FROM setup.configurations WHERE id > ",
        );
        out.push_bind_param::<Uuid, _>(&self.after)?;
        out.push_sql(" AND is_encrypted AND ");
        push_key(VALUE, &mut out);
        out.push_sql(" IS DISTINCT FROM ");
        out.push_bind_param::<Integer, _>(&self.active)?;
        out.push_sql(" ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

/// The rows of a batch, column by column.
#[derive(Clone)]
pub(crate) struct Owners<I> {
    pub(crate) ids: Vec<I>,
    pub(crate) organizations: Vec<Option<OrganizationId>>,
    pub(crate) projects: Vec<Option<ProjectId>>,
}

/// The statement that replaces secrets of integrations. It returns the ids of the rows.
///
/// A row that has other secrets than were read, or another owner, is left as it is, and so is one
/// that another transaction has locked. Thus it neither overwrites a newer secret nor waits.
#[derive(Clone, Default)]
pub(crate) struct ReplaceIntegrations {
    pub(crate) owners: Owners<IntegrationId>,
    pub(crate) old_credentials: Vec<Option<Document>>,
    pub(crate) old_webhook_secrets: Vec<Option<String>>,
    pub(crate) credentials: Vec<Option<Document>>,
    pub(crate) webhook_secrets: Vec<Option<String>>,
}

impl ReplaceIntegrations {
    pub(crate) fn push_row(
        &mut self,
        old: IntegrationSecrets,
        new: (Option<Document>, Option<String>),
    ) {
        let (id, organization, project, credentials, webhook_secret) = old;
        self.owners.push(id, organization, project);
        self.old_credentials.push(credentials);
        self.old_webhook_secrets.push(webhook_secret);
        self.credentials.push(new.0);
        self.webhook_secrets.push(new.1);
    }
}

impl<I> Default for Owners<I> {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            organizations: Vec::new(),
            projects: Vec::new(),
        }
    }
}

impl<I> Owners<I> {
    fn push(&mut self, id: I, organization: Option<OrganizationId>, project: Option<ProjectId>) {
        self.ids.push(id);
        self.organizations.push(organization);
        self.projects.push(project);
    }

    /// Writes the columns as arguments of `unnest`, but for the first parenthesis and the last.
    fn push_columns<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>
    where
        Vec<I>: ToSql<Array<Uuid>, Pg>,
    {
        out.push_bind_param::<Array<Uuid>, _>(&self.ids)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Uuid>>, _>(&self.organizations)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Uuid>>, _>(&self.projects)
    }
}

impl Statement for ReplaceIntegrations {
    type SqlType = Uuid;
    type Id = Self;
    const IDENTITY: Identity = Identity::Type;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH held AS MATERIALIZED (SELECT i.id, sealed.new_credentials, sealed.new_webhook_secret \
             FROM setup.integrations AS i JOIN ROWS FROM (pg_catalog.unnest(",
        );
        self.owners.push_columns(&mut out)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Jsonb>>, _>(&self.old_credentials)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.old_webhook_secrets)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Jsonb>>, _>(&self.credentials)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.webhook_secrets)?;
        out.push_sql(
            ")) AS sealed (id, organization_id, project_id, old_credentials, old_webhook_secret, \
             new_credentials, new_webhook_secret) ON sealed.id = i.id \
             WHERE i.organization_id IS NOT DISTINCT FROM sealed.organization_id \
             AND i.project_id IS NOT DISTINCT FROM sealed.project_id \
             AND i.credentials IS NOT DISTINCT FROM sealed.old_credentials \
             AND i.webhook_secret IS NOT DISTINCT FROM sealed.old_webhook_secret \
             FOR NO KEY UPDATE OF i SKIP LOCKED) \
             UPDATE setup.integrations SET credentials = held.new_credentials, \
             webhook_secret = held.new_webhook_secret FROM held WHERE integrations.id = held.id \
             RETURNING integrations.id",
        );
        Ok(())
    }
}

/// The statement that replaces values of encrypted settings, as [`ReplaceIntegrations`] does. It
/// returns the owners of the rows.
#[derive(Clone, Default)]
pub(crate) struct ReplaceSettings {
    pub(crate) owners: Owners<ConfigurationId>,
    pub(crate) old_values: Vec<Document>,
    pub(crate) values: Vec<Document>,
}

impl ReplaceSettings {
    pub(crate) fn push_row(&mut self, old: SettingSecret, new: Document) {
        let (id, organization, project, value) = old;
        self.owners.push(id, organization, project);
        self.old_values.push(value);
        self.values.push(new);
    }
}

impl Statement for ReplaceSettings {
    type SqlType = (Nullable<Uuid>, Nullable<Uuid>);
    type Id = Self;
    const IDENTITY: Identity = Identity::Type;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH held AS MATERIALIZED (SELECT c.id, sealed.new_value \
             FROM setup.configurations AS c JOIN ROWS FROM (pg_catalog.unnest(",
        );
        self.owners.push_columns(&mut out)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Jsonb>, _>(&self.old_values)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Jsonb>, _>(&self.values)?;
        out.push_sql(
            ")) AS sealed (id, organization_id, project_id, old_value, new_value) ON sealed.id = c.id \
             WHERE c.organization_id IS NOT DISTINCT FROM sealed.organization_id \
             AND c.project_id IS NOT DISTINCT FROM sealed.project_id \
             AND c.is_encrypted AND c.value = sealed.old_value FOR NO KEY UPDATE OF c SKIP LOCKED) \
             UPDATE setup.configurations SET value = held.new_value FROM held \
             WHERE configurations.id = held.id \
             RETURNING configurations.organization_id, configurations.project_id",
        );
        Ok(())
    }
}
