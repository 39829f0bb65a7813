//! Logins: tokens that replace each other, and sessions that end.

use std::error::Error;

use comfy_table::Table;
use wundr_db::{
    AuditLogFilter, AuditLogRepository, Db, OpenSession, Page, Refreshed, SessionClient,
    SessionKeys, SessionPolicy, Sessions, User, UserRepository, UserSessionRepository,
};

/// Real keys come from the environment or a secret store.
fn sessions(db: &Db) -> wundr_db::Result<Sessions> {
    Sessions::new(db, SessionKeys::new(1, [7; 32]), SessionPolicy::new())
}

async fn is_valid(sessions: &Sessions, login: &OpenSession) -> wundr_db::Result<String> {
    let found = sessions.authenticate(login.token.expose()).await?;
    Ok(match found {
        Some(login) => format!("{} is logged in", login.user.name),
        None => "rejected".to_owned(),
    })
}

/// A login, a refresh, and a stolen refresh token.
pub async fn tokens(db: &Db, ada: &User) -> Result<Table, Box<dyn Error>> {
    let sessions = sessions(db)?;
    let browser = SessionClient::new().user_agent("browser");
    let mut table = crate::table("tokens", &["outcome", "first token", "second token"]);

    // The password of Ada was checked before.
    let Some(first) = sessions.open(ada.id, &browser).await? else {
        return Err("the user is inactive".into());
    };
    let shown: String = first.token.expose().chars().take(19).collect();
    table.add_row([
        "log in",
        &format!("{shown}..."),
        &is_valid(&sessions, &first).await?,
        "-",
    ]);

    let refresh_token = first.refresh_token.expose();
    let Refreshed::Granted(second) = sessions.refresh(refresh_token, &browser).await? else {
        return Err("the refresh is refused".into());
    };
    table.add_row([
        "refresh",
        "granted",
        &is_valid(&sessions, &first).await?,
        &is_valid(&sessions, &second).await?,
    ]);

    // A thief has copied the first refresh token. Within 10 s of its exchange it would be taken for
    // a retry, so here the owner refreshes once more.
    let refresh_token = second.refresh_token.expose();
    let Refreshed::Granted(third) = sessions.refresh(refresh_token, &browser).await? else {
        return Err("the refresh is refused".into());
    };
    let thief = SessionClient::new().user_agent("thief");
    let stolen = first.refresh_token.expose();
    let outcome = match sessions.refresh(stolen, &thief).await? {
        Refreshed::Reused { .. } => "reuse: the session ends",
        _ => return Err("the reuse was not detected".into()),
    };
    table.add_row([
        "a thief refreshes",
        outcome,
        &is_valid(&sessions, &second).await?,
        &is_valid(&sessions, &third).await?,
    ]);
    Ok(table)
}

/// Sessions of one user, which end one by one and all together, and their trail.
pub async fn devices(db: &Db, ada: &User) -> Result<Table, Box<dyn Error>> {
    let sessions = sessions(db)?;
    let mut logins = Vec::new();
    for device in ["laptop", "phone", "tablet"] {
        let client = SessionClient::new().user_agent(device);
        logins.extend(sessions.open(ada.id, &client).await?);
    }
    let mut table = crate::table("sessions", &["left"]);
    let mut row = async |step: &str| -> wundr_db::Result<()> {
        let left = db.user_sessions().of_users(&[ada.id]).await?;
        let left = left.into_iter().flatten();
        let left: Vec<_> = left.filter_map(|session| session.user_agent).collect();
        table.add_row([step, &left.join(", ")]);
        Ok(())
    };
    row("three logins").await?;
    if let [laptop, phone, _] = &logins[..] {
        sessions.revoke(phone.session.id).await?;
        row("the phone logs out").await?;
        sessions.revoke_others(laptop.session.id).await?;
        row("all but the laptop end").await?;
    }
    db.users().set_active(ada.id, false).await?;
    row("the user is deactivated").await?;
    db.users().set_active(ada.id, true).await?;
    row("and activated again").await?;

    let filter = AuditLogFilter::new().user_id(ada.id);
    let trail = db.audit_logs().list(&filter, &Page::new()).await?.items;
    let trail: Vec<_> = trail
        .iter()
        .rev()
        .map(|entry| entry.action.as_str())
        .collect();
    table.add_row(["in the audit log", &trail.join(", ")]);
    Ok(table)
}
