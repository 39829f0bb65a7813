//! Logins, invitations, secrets and organizations on a standby.

use super::sessions::{PROCESS, ask};
use super::*;
use crate::observer::Observer;
use wundr_db::{
    Actor, Config, Error, IntegrationType, Keyring, NewIntegration, NewInvitation, NewOrganization,
    NewUser, OrganizationRole, Result, Secret, SessionClient, SessionKeys, SessionPolicy,
    UserFilter,
};

fn keys() -> SessionKeys {
    SessionKeys::new(1, [7; 32])
}

fn refused<T: std::fmt::Debug>(what: &str, outcome: Result<T>) {
    assert!(
        matches!(outcome, Err(Error::ReadOnly)),
        "{what}: {outcome:?}"
    );
}

/// What is read is read there. What writes is refused, and a login is valid although its use cannot
/// be recorded.
#[both_engines]
#[case]
async fn logins_and_secrets_are_read_on_a_standby() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let primary = Db::connect_to(&database.url()).await.unwrap();
    let primary = primary.with_secrets(Keyring::new(1, [1; 32]));
    let ada = primary
        .users()
        .create(NewUser::new("a@x", "a"))
        .await
        .unwrap()
        .id;
    let eve = primary
        .users()
        .create(NewUser::new("e@x", "e"))
        .await
        .unwrap()
        .id;
    let lab = primary
        .organizations()
        .create(NewOrganization::new("Lab", "lab"))
        .await
        .unwrap()
        .id;
    let policy = || SessionPolicy::new().record_logins(false);
    let sessions = Sessions::new(&primary, keys(), policy()).unwrap();
    let client = SessionClient::new();
    let mut opened = Vec::new();
    for user in [ada, eve] {
        opened.push(sessions.open(user, &client).await.unwrap().unwrap());
    }
    let invitation = NewInvitation::new(lab, eve, OrganizationRole::Admin);
    let invitation = primary
        .invitations()
        .invite(invitation)
        .await
        .unwrap()
        .unwrap();
    let integration = NewIntegration::new(IntegrationType::Github, "Code", ada)
        .organization_id(lab)
        .credentials(Secret::new("\"hunter2\"".parse().unwrap()));
    let integration = primary.integrations().create(integration).await.unwrap().id;
    let mut observer = Observer::of(&database.url());
    observer.run("UPDATE public.user_sessions SET last_used_at = now() - INTERVAL '1 hour'");
    pair.wait_for_catch_up().unwrap();

    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let db = db.with_secrets(Keyring::new(1, [1; 32]));
    let sessions = Sessions::new(&db, keys(), policy()).unwrap();
    let first = sessions
        .authenticate(opened[0].token.expose())
        .await
        .unwrap();
    assert_eq!(first.unwrap().user.id, ada);
    // The refused update of one session is not followed by that of another.
    let process = ask(&db, PROCESS).await;
    let second = sessions
        .authenticate(opened[1].token.expose())
        .await
        .unwrap();
    assert_eq!(second.unwrap().user.id, eve);
    assert_eq!(ask(&db, PROCESS).await, process);
    let found = db.integrations().find(integration).await.unwrap().unwrap();
    assert!(found.credentials.unwrap().expose().is_ok());
    assert_eq!(db.invitations().of_user(eve).await.unwrap().len(), 1);
    let of_lab = db.for_organization(lab);
    assert_eq!(of_lab.users().count(&UserFilter::new()).await.unwrap(), 2);

    refused(
        "refresh",
        sessions
            .refresh(opened[0].refresh_token.expose(), &client)
            .await,
    );
    refused("open", sessions.open(ada, &client).await);
    refused("revoke", sessions.revoke(opened[0].session.id).await);
    refused("prune", sessions.prune(1).await);
    refused("accept", db.invitations().accept(invitation.id, eve).await);
    let acting = db.acting_as(Actor {
        user: Some(ada),
        ..Actor::default()
    });
    refused(
        "acting",
        acting.users().create(NewUser::new("b@x", "b")).await,
    );
    refused(
        "for_organization",
        of_lab.users().create(NewUser::new("b@x", "b")).await,
    );
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 2);
}
