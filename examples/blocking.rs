//! The repositories without async, for a command-line tool, a script or a threaded web framework.
//!
//! It starts a private server and needs no other database. It leaves nothing behind.

use wundr_db::blocking::{Db, OrganizationRepository, UserRepository};
use wundr_db::testing::migrated_database;
use wundr_db::{Error, NewOrganization, NewUser, SubscriptionPlan, UserChanges};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = migrated_database()?;

    // A Db is a pool. It is cheap to clone and shared by all threads.
    let db = Db::connect_to(&database.url())?;

    let ada = db.users().create(NewUser::new("ada@example.org", "Ada"))?;
    println!("created  {} {}", ada.id, ada.email);

    // Columns that the changes do not name keep their values.
    let ada = db.users().update(
        ada.id,
        UserChanges::new()
            .name("Ada Lovelace")
            .github_username("ada"),
    )?;
    println!("renamed  {} {:?}", ada.name, ada.github_username);

    // Repositories can be shared between threads, also as trait objects.
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

    // The error has the name of the constraint, so a program need not parse a message.
    match db
        .users()
        .create(NewUser::new("ADA@example.org", "Impostor"))
    {
        Err(Error::Unique(constraint)) => println!("refused  {constraint}"),
        other => println!("{other:?}"),
    }
    Ok(())
}
