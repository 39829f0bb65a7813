//! What the repository of the notes promises, on both engines.

#[path = ""]
mod asynchronous {
    use example_own_tables::asynchronous::{IssueNoteRepository as _, IssueNotes};
    use tokio::test as case;
    use wundr_db::{
        AnalysisIssueRepository as _, AnalysisRepository as _, Db, ProjectRepository as _,
        Repositories, UserRepository as _, migrations::Runner, repository as both_engines,
    };

    #[path = "contract/issue_notes.rs"]
    mod issue_notes;
}

#[path = ""]
mod blocking {
    use core::prelude::v1::test as case;
    use example_own_tables::blocking::{IssueNoteRepository as _, IssueNotes};
    use wundr_db::blocking::{
        AnalysisIssueRepository as _, AnalysisRepository as _, Db, ProjectRepository as _,
        Repositories, UserRepository as _, migrations::Runner, repository as both_engines,
    };

    #[path = "contract/issue_notes.rs"]
    mod issue_notes;
}
