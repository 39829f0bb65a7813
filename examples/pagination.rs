//! Keyset pages: forwards, backwards, and undisturbed by what others insert meanwhile.
//!
//! Needs no database of yours: it starts a private server, and leaves nothing behind.

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

    // A page says how many rows, in which order, and whether to count them all.
    let filter = UserFilter::new().is_active(true);
    let page = Page::new().limit(4).order(UserOrder::Name).with_total();
    let first = users.list(&filter, &page).await?;
    println!("of {} users", first.total.unwrap_or_default());
    show("first", &first);

    // A cursor is text: it travels in a URL or a GraphQL answer, and comes back.
    let text = first
        .next
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let cursor: Cursor = text.parse()?;

    // Somebody inserts a row that sorts before the cursor: the next page neither repeats nor skips anything.
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

    // And back again, where the new row has its place.
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
