//! Units of work: several writes that happen together or not at all.
//!
//! Needs no database of yours: it starts a private server, and leaves nothing behind.

use wundr_db::testing::migrated_database;
use wundr_db::{
    Db, Error, Isolation, NewOrganization, NewOrganizationMember, NewUser, OrganizationFilter,
    OrganizationMemberRepository, OrganizationRepository, OrganizationRole, Retry,
    TransactionOptions, UserRepository,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = migrated_database()?;
    let db = Db::connect_to(&database.url()).await?;

    // All three rows, or none: the closure's Ok commits, its Err rolls back.
    let lab = db
        .transaction(async |tx| {
            let ada = tx
                .users()
                .create(NewUser::new("ada@example.org", "Ada"))
                .await?;
            let lab = tx
                .organizations()
                .create(NewOrganization::new("Lab", "lab"))
                .await?;
            let owner = NewOrganizationMember::new(lab.id, ada.id, OrganizationRole::Owner);
            tx.organization_members().create(owner).await?;
            Ok::<_, Error>(lab)
        })
        .await?;
    println!("committed   {}", lab.name);

    let failed: Result<(), Error> = db
        .transaction(async |tx| {
            tx.organizations()
                .create(NewOrganization::new("Second", "second"))
                .await?;
            // The address is taken: the organization above goes with it.
            tx.users()
                .create(NewUser::new("ada@example.org", "Impostor"))
                .await?;
            Ok(())
        })
        .await;
    println!(
        "rolled back {:?}",
        failed.map_err(|error| error.to_string())
    );

    // A savepoint lets one part fail alone.
    db.transaction(async |tx| {
        tx.organizations()
            .create(NewOrganization::new("Third", "third"))
            .await?;
        let part: Result<_, Error> = tx
            .savepoint(async |tx| {
                tx.organizations()
                    .create(NewOrganization::new("Lab again", "lab"))
                    .await
            })
            .await;
        println!("savepoint   {:?}", part.map_err(|error| error.to_string()));
        Ok::<_, Error>(())
    })
    .await?;

    // Serializable transactions may have to run again; the retrying form does that, with waits in between.
    let options = TransactionOptions::new().isolation(Isolation::Serializable);
    let count = db
        .transaction_retrying(&options, &Retry::default(), async |tx| {
            tx.organizations().count(&OrganizationFilter::new()).await
        })
        .await?;
    println!("there are   {count} organizations");
    Ok(())
}
