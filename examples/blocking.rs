//! The same repositories without async: for a command-line tool, a script or a web framework with threads.
//!
//! Needs no database of yours: it starts a private server, and leaves nothing behind.

use wundr_db::blocking::{Db, OrganizationRepository, UserRepository};
use wundr_db::testing::migrated_database;
use wundr_db::{Error, NewOrganization, NewUser, SubscriptionPlan, UserChanges};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = migrated_database()?;

    // A Db is a pool: cheap to clone, and what every thread gets.
    let db = Db::connect_to(&database.url())?;

    let ada = db.users().create(NewUser::new("ada@example.org", "Ada"))?;
    println!("created  {} {}", ada.id, ada.email);

    // What is not named in the changes stays as it is.
    let ada = db.users().update(
        ada.id,
        UserChanges::new()
            .name("Ada Lovelace")
            .github_username("ada"),
    )?;
    println!("renamed  {} {:?}", ada.name, ada.github_username);

    // Repositories can be shared between threads, as trait objects too.
    let names = ["Analytical Engines", "Difference Engines", "Looms"];
    std::thread::scope(|threads| {
        for (number, name) in names.into_iter().enumerate() {
            let organizations = db.organizations();
            threads.spawn(move || {
                let new = NewOrganization::new(name, format!("org-{number}"))
                    .subscription_plan(SubscriptionPlan::Professional);
                match organizations.create(new) {
                    Ok(organization) => println!("created  {}", organization.name),
                    Err(error) => eprintln!("{error}"),
                }
            });
        }
    });

    // An error says which constraint it was, so a program need not read a message.
    match db
        .users()
        .create(NewUser::new("ADA@example.org", "Impostor"))
    {
        Err(Error::Unique(constraint)) => println!("refused  {constraint}"),
        other => println!("{other:?}"),
    }
    Ok(())
}
