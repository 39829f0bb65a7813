//! The tables of the application, as declared for diesel.

use wundr_db::schema::analysis::analysis_issues;
use wundr_db::schema::public::users;

diesel::table! {
    app.issue_notes (id) {
        id -> Uuid,
        issue_id -> Uuid,
        author_id -> Uuid,
        #[max_length = 2000]
        body -> Varchar,
        votes -> Int4,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

wundr_db::allow_own_tables!(issue_notes);
diesel::joinable!(issue_notes -> analysis_issues (issue_id));
diesel::joinable!(issue_notes -> users (author_id));
