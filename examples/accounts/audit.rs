//! Changes that are recorded with their actor, by triggers.

use std::error::Error;

use comfy_table::Table;
use wundr_db::{
    Actor, AuditLogFilter, AuditLogRepository, Config, Db, Page, Table as Tables, User,
    UserChanges, UserRepository, audit, uuid,
};

/// A changed name, who changed it, and what psql changed.
pub async fn trail(config: &Config, db: &Db, ada: &User) -> Result<Table, Box<dyn Error>> {
    audit::watch(config, Tables::Users, &["name", "role"]).await?;
    let acting = db.acting_as(Actor {
        user: Some(ada.id),
        request: Some(uuid::Uuid::now_v7()),
        ..Actor::default()
    });
    let renamed = UserChanges::new().name("Ada Lovelace");
    acting.users().update(ada.id, renamed).await?;
    // By a client that names no actor.
    let renamed = UserChanges::new().name("Countess of Lovelace");
    db.users().update(ada.id, renamed).await?;
    audit::unwatch(config, Tables::Users).await?;

    let mut table = crate::table("audit log", &["by", "old", "new"]);
    let filter = AuditLogFilter::new().resource_id(uuid::Uuid::from(ada.id));
    let entries = db.audit_logs().list(&filter, &Page::new()).await?.items;
    for entry in entries.iter().rev() {
        let (Some(old), Some(new)) = (&entry.old_values, &entry.new_values) else {
            continue;
        };
        table.add_row([
            entry.action.as_str(),
            if entry.user_id == Some(ada.id) {
                "Ada"
            } else {
                "-"
            },
            old.text(),
            new.text(),
        ]);
    }
    Ok(table)
}
