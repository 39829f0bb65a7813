//! Keyset pagination: forwards, backwards, and unaffected by concurrent inserts.
//!
//! It starts a private server and needs no other database. It leaves nothing behind.

use wundr_db::testing::migrated_database;
use wundr_db::{Cursor, Db, NewUser, Page, Paged, User, UserFilter, UserOrder, UserRepository};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = migrated_database()?;
    let db = Db::connect_to(&database.url()).await?;
    let users = db.users();

    let new: Vec<_> = (0..10)
        .map(|n| NewUser::new(format!("{n}@example.org"), format!("User {n}")))
        .collect();
    users.create_many(&new).await?;

    // A page sets the number of rows, their order, and whether all rows are counted.
    let filter = UserFilter::new().is_active(true);
    let page = Page::new().limit(4).order(UserOrder::Name).with_total();
    let first = users.list(&filter, &page).await?;
    println!("of {} users", first.total.unwrap_or_default());
    show("first", &first);

    // A cursor is text. A URL or a GraphQL response can carry it.
    let text = first
        .next
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let cursor: Cursor = text.parse()?;

    // Another client inserts a row that sorts before the cursor. The next page neither repeats nor
    // skips a row.
    users
        .create(NewUser::new("new@example.org", "User 00"))
        .await?;
    let second = users
        .list(
            &filter,
            &Page::new().limit(4).order(UserOrder::Name).after(cursor),
        )
        .await?;
    show("second", &second);

    // The page before contains the new row.
    if let Some(cursor) = second.previous {
        let back = users
            .list(
                &filter,
                &Page::new().limit(4).order(UserOrder::Name).before(cursor),
            )
            .await?;
        show("back", &back);
    }
    Ok(())
}

fn show(name: &str, page: &Paged<User>) {
    let names: Vec<_> = page.items.iter().map(|user| user.name.as_str()).collect();
    println!("{name:>6}: {}", names.join(", "));
}
