//! The repository of the notes.

use diesel::dsl::min;
use diesel::prelude::*;
use wundr_db::schema::analysis::{analyses, analysis_issues};
use wundr_db::{IssueSeverity, Page, Paged, ProjectId, Result};

use super::*;
use crate::models::{
    IssueNote, IssueNoteChanges, IssueNoteFilter, IssueNoteId, IssueNoteOrder, NewIssueNote,
};
use crate::schema::issue_notes;

/// Stores and finds notes about findings.
#[repository]
pub trait IssueNoteRepository: Send + Sync {
    /// Creates a note.
    ///
    /// # Errors
    /// - `Error::MissingReference` if there is no such finding or author
    /// - `Error::InvalidInput` if the text is too long
    async fn create(&self, new: NewIssueNote) -> Result<IssueNote>;

    /// Returns the note with this id. Returns `None` if there is none.
    async fn find(&self, id: IssueNoteId) -> Result<Option<IssueNote>>;

    /// Returns one page of the notes that the filter matches.
    ///
    /// # Errors
    /// - `Error::InvalidInput` if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &IssueNoteFilter,
        page: &Page<IssueNoteOrder>,
    ) -> Result<Paged<IssueNote>>;

    /// Streams the notes that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a IssueNoteFilter) -> RowStream<'a, IssueNote>;

    /// Returns the worst severity of the findings of a project that have a note. Returns `None` if
    /// there are none.
    async fn worst_severity(&self, project: ProjectId) -> Result<Option<IssueSeverity>>;

    /// Updates a note and returns it.
    ///
    /// # Errors
    /// - `Error::NotFound` if there is no such note
    /// - `Error::StaleWrite` if it was changed after the time that the changes expect
    async fn update(&self, id: IssueNoteId, changes: IssueNoteChanges) -> Result<IssueNote>;

    /// Deletes a note, and returns whether it existed.
    async fn delete(&self, id: IssueNoteId) -> Result<bool>;
}

/// The [`IssueNoteRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct IssueNotes<'a>(OwnTables<'a>);

impl<'a> IssueNotes<'a> {
    /// Creates the repository of a database, of a transaction, or of a database behind a cache.
    ///
    /// # Errors
    /// - `Error::Unsupported` of a double without own tables
    pub fn of(all: &'a dyn Repositories) -> Result<Self> {
        all.own_tables().map(Self)
    }
}

#[repository(observed)]
impl IssueNoteRepository for IssueNotes<'_> {
    async fn create(&self, new: NewIssueNote) -> Result<IssueNote> {
        self.0.create(new).await
    }

    async fn find(&self, id: IssueNoteId) -> Result<Option<IssueNote>> {
        self.0.find(id).await
    }

    async fn list(
        &self,
        filter: &IssueNoteFilter,
        page: &Page<IssueNoteOrder>,
    ) -> Result<Paged<IssueNote>> {
        self.0.page(filter.query(), page).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a IssueNoteFilter) -> RowStream<'a, IssueNote> {
        self.0.stream(filter.query())
    }

    async fn worst_severity(&self, project: ProjectId) -> Result<Option<IssueSeverity>> {
        let query = issue_notes::table
            .inner_join(analysis_issues::table.inner_join(analyses::table))
            .filter(analyses::project_id.eq(project))
            .select(min(analysis_issues::severity));
        self.0.one(query).await
    }

    async fn update(&self, id: IssueNoteId, changes: IssueNoteChanges) -> Result<IssueNote> {
        self.0.update(id, changes).await
    }

    async fn delete(&self, id: IssueNoteId) -> Result<bool> {
        self.0.delete::<IssueNote>(id).await
    }
}
