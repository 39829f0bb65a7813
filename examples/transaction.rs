//! Transactions: several writes of which all are done or none.
//!
//! It starts a private server and needs no other database. It leaves nothing behind.

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

    // Inserts all three rows or none. The closure's Ok commits, its Err rolls back.
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
            // The address already exists, so the organization above is rolled back.
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

    // If a part in a savepoint fails, the rest of the transaction can continue.
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

    // Serializable transactions may have to be repeated. This method repeats them, with a wait
    // between attempts.
    let options = TransactionOptions::new().isolation(Isolation::Serializable);
    let count = db
        .transaction_retrying(&options, &Retry::default(), async |tx| {
            tx.organizations().count(&OrganizationFilter::new()).await
        })
        .await?;
    println!("there are   {count} organizations");
    Ok(())
}
