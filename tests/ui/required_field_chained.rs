use wundr_db::{NewUser, UserRole};

fn main() {
    // The name is required.
    let _ = NewUser::new("ada@example.org").name("Ada").role(UserRole::Admin);
}
