//! The plain data of the table.

use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db::chrono::{DateTime, Utc};
use wundr_db::{AnalysisIssueId, Changes, Filter, NewRow, TableRow, UserId};

use crate::schema::issue_notes;

wundr_db::own_ids! {
    /// Key of an [`IssueNote`].
    pub IssueNoteId;
}

/// A note of a user about a finding.
#[derive(Debug, Clone, PartialEq, Serialize, TableRow)]
#[diesel(table_name = issue_notes)]
pub struct IssueNote {
    /// Primary key.
    pub id: IssueNoteId,
    /// The finding.
    pub issue_id: AnalysisIssueId,
    /// The author.
    pub author_id: UserId,
    /// The text.
    pub body: String,
    /// The number of users who agree.
    pub votes: i32,
    /// The time at which the row was created.
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database.
    pub updated_at: DateTime<Utc>,
}

/// A note to be created.
#[derive(Debug, Clone, NewRow)]
#[row(table = issue_notes, row = IssueNote, body(IssueNoteBody: body))]
pub struct NewIssueNote {
    /// Primary key. Default: [`IssueNoteId::new`].
    #[row(default = IssueNoteId::new())]
    pub id: IssueNoteId,
    /// The finding.
    pub issue_id: AnalysisIssueId,
    /// The author.
    pub author_id: UserId,
    /// The text, at most 2,000 characters.
    pub body: String,
    /// The number of users who agree. Default: 0.
    #[row(or = "0")]
    pub votes: Option<i32>,
}

/// Changes to a note.
#[derive(Debug, Clone, Default, Changes)]
#[row(table = issue_notes, row = IssueNote, id = IssueNoteId)]
pub struct IssueNoteChanges {
    /// New text.
    pub body: Option<String>,
    /// New number of users who agree.
    pub votes: Option<i32>,
    /// If set, the update fails with `Error::StaleWrite` unless the row still has this
    /// `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for notes.
#[derive(Debug, Clone, Default, Deserialize, Filter)]
#[serde(default, deny_unknown_fields)]
pub struct IssueNoteFilter {
    /// Only notes about this finding.
    pub issue_id: Option<AnalysisIssueId>,
    /// Only notes of this author.
    pub author_id: Option<UserId>,
}

impl IssueNoteFilter {
    pub(crate) fn query(&self) -> issue_notes::BoxedQuery<'_, Pg> {
        let mut query = issue_notes::table.into_boxed();
        if let Some(issue) = self.issue_id {
            query = query.filter(issue_notes::issue_id.eq(issue));
        }
        if let Some(author) = self.author_id {
            query = query.filter(issue_notes::author_id.eq(author));
        }
        query
    }
}

wundr_db::orders! {
    /// The order in which notes are listed.
    pub IssueNoteOrder of IssueNote in issue_notes {
        /// Oldest first.
        #[default]
        Oldest = created_at asc,
        /// Most votes first.
        MostVotes = votes desc,
    }
}
