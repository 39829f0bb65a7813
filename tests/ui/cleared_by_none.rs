use wundr_db::{UserChanges, UserRole};

fn main() {
    // The column is NOT NULL: there is nothing to clear.
    let none: Option<UserRole> = None;
    let _ = UserChanges::new().role(wundr_db::Change::from(none));
}
