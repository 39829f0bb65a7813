use super::*;
use wundr_db::{Keyring, SessionClient, SessionKeys, SessionPolicy, UserSessionId};

#[both_engines]
#[case]
async fn logins_and_secrets() {
    let ledger = ledger().await;
    let user = NewUser::new("ada@example.org", "Ada");
    let id = ledger.db.users().create(user).await.unwrap().id;
    let keys = SessionKeys::new(1, [7; 32]);
    let sessions = Sessions::new(&ledger.db, keys, SessionPolicy::new()).unwrap();
    let client = SessionClient::new();
    let opened = sessions.open(id, &client).await.unwrap().unwrap();
    let ended = sessions.open(id, &client).await.unwrap().unwrap();
    assert!(sessions.revoke(ended.session.id).await.unwrap());
    costs!(ledger, 1, sessions.open(id, &client));
    costs!(ledger, 1, sessions.authenticate(opened.token.expose()));
    // The current token, the predecessor, and an older one.
    let unknown = ended.refresh_token.expose();
    costs!(ledger, 3, sessions.refresh(unknown, &client));
    costs!(ledger, 2, sessions.revoke(UserSessionId::new()));
    costs!(ledger, 1, sessions.revoke_others(UserSessionId::new()));
    costs!(ledger, 1, sessions.revoke_user(UserId::new()));
    costs!(ledger, 2, sessions.prune(10));
    let db = ledger.db.with_secrets(Keyring::new(1, [1; 32]));
    costs!(ledger, 1, db.sealed_by_key());
    // One for each table.
    costs!(ledger, 2, db.reseal(None, 10));
    ledger.settle();
}
