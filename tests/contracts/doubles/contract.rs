use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use wundr_db::{Error, NewUser, Result, User, UserFilter, UserId};

/// Holds no user, and implements no more than its test needs.
struct Nobody;

#[both_engines]
impl UserRepository for Nobody {
    async fn find(&self, _: UserId) -> Result<Option<User>> {
        Ok(None)
    }
}

/// Counts what is looked for by address, and passes everything on.
struct Counted<R> {
    users: R,
    lookups: AtomicUsize,
}

impl<R> Counted<R> {
    fn new(users: R) -> Self {
        Self {
            users,
            lookups: AtomicUsize::new(0),
        }
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

#[both_engines]
impl<R: UserRepository> UserRepository for Counted<R> {
    async fn find_by_email(&self, email: &str) -> Result<Option<User>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.users.find_by_email(email).await
    }

    fn inner(&self) -> Option<&dyn UserRepository> {
        Some(&self.users)
    }
}

/// The code of an application, which does not depend on where its users are stored.
#[both_engines]
async fn invite(users: &dyn UserRepository, email: &str) -> Result<User> {
    match users.find_by_email(email).await? {
        Some(user) => Ok(user),
        None => users.create(NewUser::new(email, "invited")).await,
    }
}

#[both_engines]
#[case]
async fn a_double_holds_only_what_its_test_needs() {
    let users: &dyn UserRepository = &Nobody;

    assert_eq!(users.find(UserId::new()).await.unwrap(), None);
    match invite(users, "ada@example.org").await {
        Err(Error::Unsupported { method }) => assert_eq!(method, "UserRepository::find_by_email"),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn a_decorator_passes_on_what_it_does_not_change() {
    let (db, _database) = database().await;
    let users = Counted::new(db.users());

    let ada = invite(&users, "ada@example.org").await.unwrap();
    let again = invite(&users, "ADA@example.org").await.unwrap();

    assert_eq!((users.lookups(), again.id), (2, ada.id));
    assert_eq!(users.find(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 1);
    let twice = Counted::new(users);
    assert!(twice.delete(ada.id).await.unwrap());
    assert!(
        twice
            .find_by_email("ada@example.org")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!((twice.lookups(), twice.users.lookups()), (1, 3));
}

#[both_engines]
#[case]
async fn a_repository_is_shared_as_a_trait_object() {
    let (db, _database) = database().await;
    let users: Arc<dyn UserRepository> = Arc::new(Counted::new(db.users()));

    let first = elsewhere({
        let users = Arc::clone(&users);
        work!(invite(&*users, "ada@example.org").await)
    });
    let first = first.await.unwrap();

    assert_eq!(users.find(first.id).await.unwrap(), Some(first));
}

#[both_engines]
#[case]
async fn the_same_function_works_inside_a_transaction() {
    let (db, _database) = database().await;

    let undone = db
        .transaction(async |tx| -> Result<()> {
            let users = Counted::new(tx.users());
            invite(&users, "ada@example.org").await?;
            assert_eq!(users.lookups(), 1);
            Err(Error::StaleWrite { what: "User" })
        })
        .await;
    assert!(matches!(undone, Err(Error::StaleWrite { .. })));
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);

    let kept = db
        .transaction(async |tx| invite(&tx.users(), "ada@example.org").await)
        .await
        .unwrap();
    assert_eq!(db.users().find(kept.id).await.unwrap(), Some(kept));
}
