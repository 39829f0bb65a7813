use wundr_db::UserRole;

diesel::table! {
    use diesel::sql_types::*;
    use wundr_db::schema::public::sql_types::UserRole;

    app.notes (id) {
        id -> Uuid,
        audience -> UserRole,
    }
}

pub struct Note {
    pub id: wundr_db::uuid::Uuid,
    pub audience: UserRole,
}

wundr_db::orders! {
    /// The order in which notes are listed.
    pub NoteOrder of Note in notes {
        /// By audience.
        #[default]
        Audience = audience asc,
    }
}

fn main() {}
