//! Invitations to organizations.

use super::*;
use crate::Result;
use crate::sql::Sql;
use crate::sql::invitations::{
    Accept, EndInvitation, FindInvitation, Invite, OpenInvitations, PruneInvitations,
};
use crate::{Invitation, InvitationId, NewInvitation, OrganizationId, OrganizationMember, UserId};

/// Invites users to organizations, and makes them members when they accept.
///
/// An invitation grants nothing. Each call but the reads is one statement, which writes its entry
/// in the audit log as well: `invite`, `accept`, `reject`, or `delete` if an invitation is
/// withdrawn. The entry is on behalf of the [actor](crate::Actor); without one, of the user that
/// invites, accepts or rejects.
///
/// Whether the caller may invite, and whether it is the user that accepts, is checked by the
/// application: see [`OrganizationRepository::access`].
///
/// # Examples
/// ```no_run
/// # #[cfg(feature = "async")]
/// # async fn example(db: wundr_db::Db, lab: wundr_db::OrganizationId, ada: wundr_db::UserId, eve: wundr_db::UserId) -> wundr_db::Result<()> {
/// use wundr_db::{InvitationRepository, NewInvitation, OrganizationRole};
///
/// let new = NewInvitation::new(lab, eve, OrganizationRole::Member).invited_by(ada);
/// let invitation = db.invitations().invite(new).await?.expect("eve is no member");
/// let member = db.invitations().accept(invitation.id, eve).await?;
/// assert!(member.is_some());
/// # Ok(())
/// # }
/// ```
#[repository]
pub trait InvitationRepository: Send + Sync {
    /// Invites a user to an organization. Renews the invitation if there is one, which keeps its
    /// id. Returns `None` if the user is a member.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the validity is not within 1 s and
    ///   365 days
    /// - [`Error::MissingReference`](crate::Error::MissingReference) if there is no such
    ///   organization or user
    async fn invite(&self, new: NewInvitation) -> Result<Option<Invitation>>;

    /// Makes the invited user a member of the organization, and returns the member.
    ///
    /// Returns `None` if this user has no invitation with this id, if it has expired, or if the
    /// user was made a member meanwhile, whose role then stays.
    async fn accept(&self, id: InvitationId, user_id: UserId)
    -> Result<Option<OrganizationMember>>;

    /// Ends the invitation on behalf of the invited user, and returns it. Returns `None` if this
    /// user has no invitation with this id.
    async fn reject(&self, id: InvitationId, user_id: UserId) -> Result<Option<Invitation>>;

    /// Ends the invitation on behalf of the organization, and returns it. Returns `None` if there
    /// is no such invitation.
    async fn withdraw(&self, id: InvitationId) -> Result<Option<Invitation>>;

    /// Returns the invitation with this id, even if it has expired. Returns `None` if there is
    /// none, such as after an answer.
    async fn find(&self, id: InvitationId) -> Result<Option<Invitation>>;

    /// Returns the invitations that a user can accept, the oldest first.
    async fn of_user(&self, user_id: UserId) -> Result<Vec<Invitation>>;

    /// Returns the invitations to an organization that can be accepted, the oldest first.
    async fn of_organization(&self, organization_id: OrganizationId) -> Result<Vec<Invitation>>;

    /// Deletes at most `limit` invitations that have expired, and returns their number. It skips
    /// rows that another transaction has locked.
    async fn delete_expired(&self, limit: u32) -> Result<u64>;
}

/// The [`InvitationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Invitations<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of invitations to organizations.
    pub fn invitations(&self) -> Invitations<'static> {
        Invitations(self.executor())
    }
}

impl Tx {
    /// Returns the repository of invitations to organizations within this transaction.
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations(self.executor())
    }
}

#[repository(observed)]
impl InvitationRepository for Invitations<'_> {
    async fn invite(&self, new: NewInvitation) -> Result<Option<Invitation>> {
        let statement = Invite::new(&new)?;
        steady_first_uncached(&self.0, || statement.clone()).await
    }

    async fn accept(
        &self,
        id: InvitationId,
        user_id: UserId,
    ) -> Result<Option<OrganizationMember>> {
        let statement = Accept::new(id, user_id);
        steady_first(&self.0, || statement.clone()).await
    }

    async fn reject(&self, id: InvitationId, user_id: UserId) -> Result<Option<Invitation>> {
        let statement = EndInvitation::rejected(id, user_id);
        steady_first_uncached(&self.0, || statement.clone()).await
    }

    async fn withdraw(&self, id: InvitationId) -> Result<Option<Invitation>> {
        let statement = EndInvitation::withdrawn(id);
        steady_first_uncached(&self.0, || statement.clone()).await
    }

    async fn find(&self, id: InvitationId) -> Result<Option<Invitation>> {
        self.0.first(Sql(FindInvitation(id))).await
    }

    async fn of_user(&self, user_id: UserId) -> Result<Vec<Invitation>> {
        self.0.load(Sql(OpenInvitations::OfUser(user_id))).await
    }

    async fn of_organization(&self, organization_id: OrganizationId) -> Result<Vec<Invitation>> {
        let query = OpenInvitations::OfOrganization(organization_id);
        self.0.load(Sql(query)).await
    }

    async fn delete_expired(&self, limit: u32) -> Result<u64> {
        self.0.execute(Sql(PruneInvitations(limit.into()))).await
    }
}
