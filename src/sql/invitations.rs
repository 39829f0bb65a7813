//! The statements of invitations to organizations. Each writes its entry in the audit log.
//!
//! An invitation ends by the deletion of its row. Of two statements that end one, the second waits
//! for the first and then finds no row. So an invitation that was withdrawn is not accepted.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{BigInt, Nullable, Timestamptz, Uuid};

use super::{Sql, Statement};
use crate::mapping::RowSql;
use crate::schema::public::sql_types::OrganizationRole as Role;
use crate::{
    AuditLogId, InvitationId, NewInvitation, OrganizationId, OrganizationMember,
    OrganizationMemberId, Result, UserId,
};

/// The columns of an invitation.
type InvitationSql = (
    Uuid,
    Uuid,
    Uuid,
    Role,
    Nullable<Uuid>,
    Timestamptz,
    Timestamptz,
);

const COLUMNS: &str = "id, organization_id, user_id, role, invited_by, invited_at, expires_at";

/// Writes `recorded`: the entry of the invitation in `source`, on behalf of the actor.
fn push_entry<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    id: &'b AuditLogId,
    action: &'static str,
    source: &'static str,
    user: &'static str,
) -> QueryResult<()> {
    out.push_sql(
        ", actor AS (SELECT NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb AS a), \
         recorded AS (INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, \
         resource_id, new_values, metadata, ip_address, user_agent) SELECT ",
    );
    out.push_bind_param::<Uuid, _>(id)?;
    out.push_sql(", COALESCE((a ->> 'user')::uuid, ");
    out.push_sql(user);
    out.push_sql("), i.organization_id, '");
    out.push_sql(action);
    out.push_sql(
        "', 'organization_invitation', i.id, \
         pg_catalog.jsonb_build_object('user_id', i.user_id, 'role', i.role), \
         pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('request', a -> 'request')), \
         (a ->> 'ip')::inet, a ->> 'user_agent' FROM ",
    );
    out.push_sql(source);
    out.push_sql(" AS i, actor)");
    Ok(())
}

/// The statement that invites a user that is not a member, or renews its invitation.
#[derive(Clone)]
pub(crate) struct Invite<'a> {
    new: &'a NewInvitation,
    microseconds: i64,
    entry: AuditLogId,
}

impl<'a> Invite<'a> {
    pub(crate) fn new(new: &'a NewInvitation) -> Result<Sql<Self>> {
        Ok(Sql(Self {
            new,
            microseconds: new.microseconds()?,
            entry: AuditLogId::new(),
        }))
    }
}

impl Statement for Invite<'_> {
    type SqlType = InvitationSql;
    type Id = Invite<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let NewInvitation {
            id,
            organization_id,
            user_id,
            role,
            invited_by,
            ..
        } = self.new;
        out.push_sql("WITH invited AS (INSERT INTO public.organization_invitations AS i (");
        out.push_sql("id, organization_id, user_id, role, invited_by, expires_at) SELECT ");
        out.push_bind_param::<Uuid, _>(id)?;
        out.push_sql(", ");
        out.push_bind_param::<Uuid, _>(organization_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Uuid, _>(user_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Role, _>(role)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Uuid>, _>(invited_by)?;
        out.push_sql(", pg_catalog.statement_timestamp() + ");
        out.push_bind_param::<BigInt, _>(&self.microseconds)?;
        out.push_sql(
            " * INTERVAL '1 microsecond' WHERE NOT EXISTS (SELECT FROM public.organization_members AS m \
             WHERE m.organization_id = ",
        );
        out.push_bind_param::<Uuid, _>(organization_id)?;
        out.push_sql(" AND m.user_id = ");
        out.push_bind_param::<Uuid, _>(user_id)?;
        out.push_sql(
            ") ON CONFLICT (organization_id, user_id) DO UPDATE SET role = EXCLUDED.role, \
             invited_by = EXCLUDED.invited_by, invited_at = EXCLUDED.invited_at, \
             expires_at = EXCLUDED.expires_at RETURNING i.*)",
        );
        push_entry(&mut out, &self.entry, "invite", "invited", "i.invited_by")?;
        out.push_sql(" SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM invited");
        Ok(())
    }
}

/// The statement that makes the invited user a member, and returns the member.
#[derive(Clone)]
pub(crate) struct Accept {
    id: InvitationId,
    user_id: UserId,
    member: OrganizationMemberId,
    entry: AuditLogId,
}

impl Accept {
    pub(crate) fn new(id: InvitationId, user_id: UserId) -> Sql<Self> {
        Sql(Self {
            id,
            user_id,
            member: OrganizationMemberId::new(),
            entry: AuditLogId::new(),
        })
    }
}

impl Statement for Accept {
    type SqlType = RowSql<OrganizationMember>;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ended AS (DELETE FROM public.organization_invitations WHERE id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND user_id = ");
        out.push_bind_param::<Uuid, _>(&self.user_id)?;
        out.push_sql(
            " AND expires_at > pg_catalog.statement_timestamp() RETURNING *), \
             member AS (INSERT INTO public.organization_members (id, organization_id, user_id, role, \
             invited_by) SELECT ",
        );
        out.push_bind_param::<Uuid, _>(&self.member)?;
        // A user that was made a member meanwhile keeps its role.
        out.push_sql(
            ", organization_id, user_id, role, invited_by FROM ended \
             ON CONFLICT (organization_id, user_id) DO NOTHING \
             RETURNING id, organization_id, user_id, role, joined_at, invited_by), \
             accepted AS (SELECT e.* FROM ended AS e, member)",
        );
        push_entry(&mut out, &self.entry, "accept", "accepted", "i.user_id")?;
        out.push_sql(
            " SELECT id, organization_id, user_id, role, joined_at, invited_by FROM member",
        );
        Ok(())
    }
}

/// The statement that ends an invitation, and returns it.
#[derive(Clone)]
pub(crate) struct EndInvitation {
    id: InvitationId,
    /// The invited user, if it is the one that rejects.
    user_id: Option<UserId>,
    entry: AuditLogId,
}

impl EndInvitation {
    /// The invited user rejects it.
    pub(crate) fn rejected(id: InvitationId, user_id: UserId) -> Sql<Self> {
        Sql(Self {
            id,
            user_id: Some(user_id),
            entry: AuditLogId::new(),
        })
    }

    /// The organization withdraws it.
    pub(crate) fn withdrawn(id: InvitationId) -> Sql<Self> {
        Sql(Self {
            id,
            user_id: None,
            entry: AuditLogId::new(),
        })
    }
}

impl Statement for EndInvitation {
    type SqlType = InvitationSql;
    type Id = ();
    const IDENTITY: super::Identity = super::Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ended AS (DELETE FROM public.organization_invitations WHERE id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        let (action, user) = match &self.user_id {
            Some(user_id) => {
                out.push_sql(" AND user_id = ");
                out.push_bind_param::<Uuid, _>(user_id)?;
                ("reject", "i.user_id")
            }
            None => ("delete", "NULL"),
        };
        out.push_sql(" RETURNING *)");
        push_entry(&mut out, &self.entry, action, "ended", user)?;
        out.push_sql(" SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM ended");
        Ok(())
    }
}

/// The query for the invitation with an id, whether or not it has expired.
#[derive(Clone)]
pub(crate) struct FindInvitation(pub(crate) InvitationId);

impl Statement for FindInvitation {
    type SqlType = InvitationSql;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM public.organization_invitations WHERE id = ");
        out.push_bind_param::<Uuid, _>(&self.0)?;
        Ok(())
    }
}

/// The query for the invitations that can be accepted, of a user or of an organization.
#[derive(Clone)]
pub(crate) enum OpenInvitations {
    OfUser(UserId),
    OfOrganization(OrganizationId),
}

impl Statement for OpenInvitations {
    type SqlType = InvitationSql;
    type Id = ();
    const IDENTITY: super::Identity = super::Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM public.organization_invitations WHERE ");
        match self {
            Self::OfUser(id) => {
                out.push_sql("user_id = ");
                out.push_bind_param::<Uuid, _>(id)?;
            }
            Self::OfOrganization(id) => {
                out.push_sql("organization_id = ");
                out.push_bind_param::<Uuid, _>(id)?;
            }
        }
        out.push_sql(" AND expires_at > pg_catalog.statement_timestamp() ORDER BY invited_at, id");
        Ok(())
    }
}

/// The statement that deletes at most so many invitations that have expired.
#[derive(Clone)]
pub(crate) struct PruneInvitations(pub(crate) i64);

impl Statement for PruneInvitations {
    type SqlType = ();
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "DELETE FROM public.organization_invitations WHERE id IN (\
             SELECT id FROM public.organization_invitations \
             WHERE expires_at <= pg_catalog.statement_timestamp() ORDER BY expires_at LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.0)?;
        out.push_sql(" FOR UPDATE SKIP LOCKED)");
        Ok(())
    }
}
