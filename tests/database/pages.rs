//! Properties of pages: whatever the rows, the limit and the order, going through a list forwards
//! or backwards gives each row once.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use wundr_db::blocking::{Db, UserRepository};
use wundr_db::testing::migrated_database;
use wundr_db::{Cursor, Error, NewUser, Page, User, UserFilter, UserId, UserOrder};

const ORDERS: [UserOrder; 4] = [
    UserOrder::Newest,
    UserOrder::Oldest,
    UserOrder::Name,
    UserOrder::Email,
];

/// Names from a small alphabet, so that sort keys collide; ids in any order.
fn rows() -> impl Strategy<Value = Vec<(String, u128)>> {
    prop::collection::vec(("[ab]{0,2}", any::<u128>()), 0..40)
}

fn users(rows: &[(String, u128)]) -> Vec<NewUser> {
    let mut seen = HashSet::new();
    let fresh = rows.iter().filter(|(_, id)| seen.insert(*id));
    let new = fresh.enumerate().map(|(number, (name, id))| {
        let id = UserId::from(uuid::Uuid::from_u128(*id));
        NewUser::new(format!("{number:03}@example.org"), name.as_str()).id(id)
    });
    new.collect()
}

/// Every page from one end of the list to the other.
fn walk(
    db: &Db,
    order: UserOrder,
    limit: u32,
    backwards: bool,
    mut between: impl FnMut(usize),
) -> Result<Vec<Vec<User>>, Error> {
    let filter = UserFilter::new();
    let mut pages = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = Page::new().order(order).limit(limit);
        let page = match (cursor, backwards) {
            (None, false) => page,
            (None, true) => page.last(),
            (Some(cursor), false) => page.after(cursor),
            (Some(cursor), true) => page.before(cursor),
        };
        let answer = db.users().list(&filter, &page)?;
        pages.push(answer.items);
        between(pages.len());
        cursor = match if backwards {
            answer.previous
        } else {
            answer.next
        } {
            // By way of its text, as an application would.
            Some(cursor) => Some(cursor.to_string().parse()?),
            None => return Ok(pages),
        };
    }
}

fn ids(pages: &[Vec<User>]) -> Vec<UserId> {
    pages.iter().flatten().map(|user| user.id).collect()
}

#[test]
fn forwards_is_backwards_reversed_and_each_row_comes_once() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).unwrap();
    let case = (rows(), 1..=100u32, 0..ORDERS.len());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&case, |(rows, limit, order)| {
        db.users().delete_many(&UserFilter::new()).unwrap();
        let new = users(&rows);
        db.users().create_many(&new).unwrap();

        let forwards = walk(&db, ORDERS[order], limit, false, |_| {}).unwrap();
        // The walk goes from the end, each page is in the list's order.
        let mut backwards = walk(&db, ORDERS[order], limit, true, |_| {}).unwrap();
        backwards.reverse();

        prop_assert_eq!(ids(&forwards), ids(&backwards));
        let distinct: HashSet<UserId> = ids(&forwards).into_iter().collect();
        prop_assert_eq!(distinct.len(), ids(&forwards).len());
        prop_assert_eq!(distinct, new.iter().map(|user| user.id).collect());
        let full = forwards.len().saturating_sub(1);
        prop_assert!(
            forwards[..full]
                .iter()
                .all(|page| page.len() == limit as usize)
        );
        let sorted: Vec<&User> = forwards.iter().flatten().collect();
        prop_assert!(
            sorted
                .windows(2)
                .all(|pair| in_order(ORDERS[order], pair[0], pair[1]))
        );
        Ok(())
    });
    outcome.unwrap();
}

fn in_order(order: UserOrder, one: &User, other: &User) -> bool {
    match order {
        UserOrder::Newest => (one.created_at, one.id) > (other.created_at, other.id),
        UserOrder::Oldest => (one.created_at, one.id) < (other.created_at, other.id),
        UserOrder::Name => (&one.name, one.id) < (&other.name, other.id),
        UserOrder::Email => (&one.email, one.id) < (&other.email, other.id),
        _ => unreachable!("an order that this test does not know"),
    }
}

#[test]
fn rows_that_come_meanwhile_neither_repeat_nor_hide_others() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).unwrap();
    let before: Vec<_> = (0..50)
        .map(|n| NewUser::new(format!("{n:03}@example.org"), "same name"))
        .collect();
    db.users().create_many(&before).unwrap();

    for order in ORDERS {
        // The same sort key as all others, an id before, between and after theirs.
        let pages = walk(&db, order, 7, false, |page| {
            let random = UserId::from(uuid::Uuid::from_u128(u128::from(page as u64) << 100));
            for id in [random, UserId::new()] {
                let new = NewUser::new(format!("{}@example.org", UserId::new()), "same name");
                if page < 5 && !db.users().exists(id).unwrap() {
                    db.users().create(new.id(id)).unwrap();
                }
            }
        });
        let seen = ids(&pages.unwrap());
        let distinct: HashSet<UserId> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "{order:?}: a row came twice");
        assert!(
            before.iter().all(|user| distinct.contains(&user.id)),
            "{order:?}: a row is missing"
        );
    }
}

#[test]
fn a_bad_cursor_or_limit_is_refused() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).unwrap();
    db.users()
        .create_many(&[NewUser::new("1@x", "1"), NewUser::new("2@x", "2")])
        .unwrap();
    let filter = UserFilter::new();
    let by_name = db
        .users()
        .list(&filter, &Page::new().order(UserOrder::Name).limit(1))
        .unwrap();
    let cursor = by_name.next.unwrap();

    let field = |error: Error| match error {
        Error::InvalidInput { field, .. } => field.into_owned(),
        other => panic!("{other:?}"),
    };
    let other_order = Page::new().order(UserOrder::Email).after(cursor.clone());
    assert_eq!(
        field(db.users().list(&filter, &other_order).unwrap_err()),
        "cursor"
    );
    for limit in [0, 101, u32::MAX] {
        let page = Page::new().order(UserOrder::Name).limit(limit);
        assert_eq!(field(db.users().list(&filter, &page).unwrap_err()), "limit");
    }
    let text = cursor.to_string();
    for bad in ["", "*", "e30", &text[1..], &text[..text.len() - 2]] {
        assert_eq!(
            field(bad.parse::<Cursor>().unwrap_err()),
            "cursor",
            "{bad:?}"
        );
    }
}
