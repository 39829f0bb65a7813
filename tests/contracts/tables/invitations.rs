//! Invitations to organizations.

use super::*;
use std::time::Duration;

use serde_json::json;
use wundr_db::{
    Actor, AuditAction, AuditLog, AuditLogFilter, Invitation, InvitationId, NewInvitation,
    NewOrganizationMember, OrganizationRole, Page,
};

#[both_engines]
async fn invited(db: &Db) -> (OrganizationId, UserId, UserId, Invitation) {
    let (ada, eve) = (user(db).await.id, user(db).await.id);
    let lab = organization(db).await.id;
    let new = NewInvitation::new(lab, eve, OrganizationRole::Admin).invited_by(ada);
    let invitation = db.invitations().invite(new).await.unwrap().unwrap();
    (lab, ada, eve, invitation)
}

#[both_engines]
async fn entries(db: &Db) -> Vec<AuditLog> {
    let of_invitations = AuditLogFilter::new().resource_type("organization_invitation");
    let page = db.audit_logs().list(&of_invitations, &Page::new()).await;
    page.unwrap().items
}

#[both_engines]
#[case]
async fn an_invitation_grants_nothing_until_it_is_accepted() {
    let (db, _database) = database().await;
    let (lab, ada, eve, invitation) = invited(&db).await;
    assert_eq!(db.organizations().access(eve, lab).await.unwrap(), None);
    let role = db.organization_members().role_of(lab, eve).await;
    assert_eq!(role.unwrap(), None);
    assert_eq!(
        db.invitations().of_user(eve).await.unwrap(),
        std::slice::from_ref(&invitation)
    );
    assert_eq!(
        db.invitations().of_organization(lab).await.unwrap(),
        std::slice::from_ref(&invitation)
    );

    let found = db.invitations().find(invitation.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&invitation));

    // By another user, and of another invitation.
    let invitations = db.invitations();
    assert_eq!(invitations.accept(invitation.id, ada).await.unwrap(), None);
    assert_eq!(invitations.reject(invitation.id, ada).await.unwrap(), None);
    let other = InvitationId::new();
    assert_eq!(invitations.accept(other, eve).await.unwrap(), None);
    assert_eq!(invitations.find(other).await.unwrap(), None);

    let member = invitations.accept(invitation.id, eve).await.unwrap();
    let member = member.unwrap();
    assert_eq!(
        (member.organization_id, member.user_id, member.role),
        (lab, eve, OrganizationRole::Admin)
    );
    assert_eq!(member.invited_by, Some(ada));
    let found = db.organization_members().find(member.id).await.unwrap();
    assert_eq!(found, Some(member));
    let access = db.organizations().access(eve, lab).await.unwrap();
    assert_eq!(access.unwrap().role, OrganizationRole::Admin);
    // Once.
    assert_eq!(invitations.accept(invitation.id, eve).await.unwrap(), None);
    assert_eq!(invitations.of_user(eve).await.unwrap(), []);
    assert_eq!(invitations.find(invitation.id).await.unwrap(), None);
}

#[both_engines]
#[case]
async fn an_invitation_that_was_rejected_withdrawn_or_has_expired_is_not_accepted() {
    let (db, database) = database().await;
    let invitations = db.invitations();
    let (.., eve, rejected) = invited(&db).await;
    let outcome = invitations.reject(rejected.id, eve).await.unwrap();
    assert_eq!(outcome, Some(rejected.clone()));
    assert_eq!(invitations.accept(rejected.id, eve).await.unwrap(), None);

    let (.., eve, withdrawn) = invited(&db).await;
    let outcome = invitations.withdraw(withdrawn.id).await.unwrap();
    assert_eq!(outcome, Some(withdrawn.clone()));
    assert_eq!(invitations.withdraw(withdrawn.id).await.unwrap(), None);
    assert_eq!(invitations.accept(withdrawn.id, eve).await.unwrap(), None);

    let (lab, _, eve, expired) = invited(&db).await;
    Observer::of(&database.url()).run(
        "UPDATE public.organization_invitations SET expires_at = pg_catalog.now() - INTERVAL '1 second'",
    );
    assert_eq!(invitations.of_organization(lab).await.unwrap(), []);
    assert_eq!(invitations.accept(expired.id, eve).await.unwrap(), None);
    // It can be renewed, and keeps its id.
    let again = NewInvitation::new(lab, eve, OrganizationRole::Viewer);
    let again = invitations.invite(again).await.unwrap().unwrap();
    assert_eq!(
        (again.id, again.role),
        (expired.id, OrganizationRole::Viewer)
    );
    assert_eq!(invitations.delete_expired(10).await.unwrap(), 0);
    Observer::of(&database.url()).run(
        "UPDATE public.organization_invitations SET expires_at = pg_catalog.now() - INTERVAL '1 second'",
    );
    assert_eq!(invitations.delete_expired(10).await.unwrap(), 1);
    for valid_for in [Duration::ZERO, Duration::from_secs(400 * 24 * 60 * 60)] {
        let new = NewInvitation::new(lab, eve, OrganizationRole::Viewer).valid_for(valid_for);
        let refused = invitations.invite(new).await.unwrap_err();
        assert_eq!(field_of(refused), "valid_for");
    }
}

#[both_engines]
#[case]
async fn a_member_is_not_invited_and_keeps_its_role() {
    let (db, _database) = database().await;
    let (lab, _, eve, invitation) = invited(&db).await;
    let member = NewOrganizationMember::new(lab, eve, OrganizationRole::Viewer);
    db.organization_members().create(member).await.unwrap();
    let invitations = db.invitations();
    let again = NewInvitation::new(lab, eve, OrganizationRole::Owner);
    assert_eq!(invitations.invite(again).await.unwrap(), None);
    assert_eq!(invitations.accept(invitation.id, eve).await.unwrap(), None);
    let role = db.organization_members().role_of(lab, eve).await.unwrap();
    assert_eq!(role, Some(OrganizationRole::Viewer));
    let unknown = NewInvitation::new(lab, UserId::new(), OrganizationRole::Viewer);
    let refused = invitations.invite(unknown).await;
    assert!(
        matches!(refused, Err(Error::MissingReference(_))),
        "{refused:?}"
    );
}

#[both_engines]
#[case]
async fn each_call_of_an_invitation_leaves_its_entry() {
    let (db, _database) = database().await;
    let (lab, ada, eve, accepted) = invited(&db).await;
    let other = user(&db).await.id;
    let acting = db.acting_as(Actor {
        user: Some(other),
        ip: "192.0.2.7".parse().ok(),
        user_agent: Some("Browser".to_owned()),
        ..Actor::default()
    });
    db.invitations().accept(accepted.id, eve).await.unwrap();
    let (.., rejecting, rejected) = invited(&db).await;
    acting
        .invitations()
        .reject(rejected.id, rejecting)
        .await
        .unwrap();
    let (.., withdrawn) = invited(&db).await;
    let undone: wundr_db::Result<()> = db
        .transaction(async |tx| {
            tx.invitations().withdraw(withdrawn.id).await?;
            Err(Error::Serialization)
        })
        .await;
    undone.unwrap_err();
    acting.invitations().withdraw(withdrawn.id).await.unwrap();
    // What does nothing leaves none.
    db.invitations()
        .reject(rejected.id, rejecting)
        .await
        .unwrap();

    let found = entries(&db).await;
    let of = |id: InvitationId| -> Vec<_> {
        let mut of: Vec<_> = found
            .iter()
            .filter(|entry| entry.resource_id == Some(id.into()))
            .collect();
        of.sort_by_key(|entry| entry.created_at);
        of
    };
    let actions = |id| -> Vec<_> {
        let of = of(id);
        of.iter()
            .map(|entry| (entry.action, entry.user_id))
            .collect()
    };
    assert_eq!(
        actions(accepted.id),
        [
            (AuditAction::Invite, Some(ada)),
            (AuditAction::Accept, Some(eve))
        ]
    );
    let last = |id| actions(id).pop().unwrap();
    assert_eq!(last(rejected.id), (AuditAction::Reject, Some(other)));
    assert_eq!(last(withdrawn.id), (AuditAction::Delete, Some(other)));
    assert_eq!(found.len(), 6);
    let invite = of(accepted.id)[0];
    assert_eq!(invite.organization_id, Some(lab));
    let values = invite.new_values.as_ref().unwrap();
    let values: serde_json::Value = serde_json::from_str(values.text()).unwrap();
    assert_eq!(values, json!({"user_id": eve, "role": "admin"}));
    let reject = of(rejected.id)[1];
    assert_eq!(reject.user_agent.as_deref(), Some("Browser"));
    assert!(reject.ip_address.is_some());
}
