//! `analysis.duplicate_groups`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::schema::analysis::duplicate_groups;
use crate::sql::{
    columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
};
use crate::{
    AnalysisId, DuplicateGroup, DuplicateGroupChanges, DuplicateGroupFilter, DuplicateGroupId,
    DuplicateGroupOrder, NewDuplicateGroup, Page, Paged, Result,
};

/// Stores and finds groups of duplicated code.
#[repository]
pub trait DuplicateGroupRepository: Send + Sync {
    /// Creates a group of duplicates.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such analysis
    /// - [`Error::InvalidInput`] if a value cannot be stored
    /// - [`Error::Check`] if the similarity is not within 0 and 100
    async fn create(&self, new: NewDuplicateGroup) -> Result<DuplicateGroup>;

    /// Creates any number of groups of duplicates, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewDuplicateGroup]) -> Result<u64>;

    /// Returns the group of duplicates with this id. Returns `None` if there is none.
    async fn find(&self, id: DuplicateGroupId) -> Result<Option<DuplicateGroup>>;

    /// Returns the groups of duplicates with these ids, in the order of `ids`, with one query. An
    /// id without a row gets `None`.
    async fn find_many(&self, ids: &[DuplicateGroupId]) -> Result<Vec<Option<DuplicateGroup>>>;

    /// Returns the groups with this digest, newest first. Other analyses that found the same code
    /// have groups with the same digest.
    async fn find_by_hash(&self, hash: &str) -> Result<Vec<DuplicateGroup>>;

    /// Checks whether there is a group of duplicates with this id.
    async fn exists(&self, id: DuplicateGroupId) -> Result<bool>;

    /// Returns one page of the groups of duplicates that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &DuplicateGroupFilter,
        page: &Page<DuplicateGroupOrder>,
    ) -> Result<Paged<DuplicateGroup>>;

    /// Returns one page for each analysis: its groups that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DuplicateGroupFilter,
        page: &Page<DuplicateGroupOrder>,
    ) -> Result<Vec<Paged<DuplicateGroup>>>;

    /// Streams the groups of duplicates that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DuplicateGroupFilter) -> RowStream<'a, DuplicateGroup>;

    /// Counts the groups of duplicates that the filter matches.
    async fn count(&self, filter: &DuplicateGroupFilter) -> Result<u64>;

    /// Updates a group of duplicates and returns it. Changes without an assignment return it as it
    /// is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such group of duplicates
    /// - [`Error::InvalidInput`] and [`Error::Check`] as in [`create`](Self::create)
    async fn update(
        &self,
        id: DuplicateGroupId,
        changes: DuplicateGroupChanges,
    ) -> Result<DuplicateGroup>;

    /// Deletes a group of duplicates, and returns whether it existed.
    async fn delete(&self, id: DuplicateGroupId) -> Result<bool>;

    /// Deletes every group of duplicates that the filter matches, all or none, and returns their
    /// number.
    async fn delete_many(&self, filter: &DuplicateGroupFilter) -> Result<u64>;
}

/// The [`DuplicateGroupRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct DuplicateGroups<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the groups of duplicates.
    pub fn duplicate_groups(&self) -> DuplicateGroups<'static> {
        DuplicateGroups(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the groups of duplicates within this transaction.
    pub fn duplicate_groups(&self) -> DuplicateGroups<'_> {
        DuplicateGroups(self.executor())
    }
}

#[repository(observed)]
impl DuplicateGroupRepository for DuplicateGroups<'_> {
    async fn create(&self, new: NewDuplicateGroup) -> Result<DuplicateGroup> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewDuplicateGroup]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: DuplicateGroupId) -> Result<Option<DuplicateGroup>> {
        self.0.first(find_by_id::<DuplicateGroup>(id)).await
    }

    async fn find_many(&self, ids: &[DuplicateGroupId]) -> Result<Vec<Option<DuplicateGroup>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_hash(&self, hash: &str) -> Result<Vec<DuplicateGroup>> {
        let query = duplicate_groups::table
            .filter(duplicate_groups::hash.eq(hash))
            .order((
                duplicate_groups::created_at.desc(),
                duplicate_groups::id.desc(),
            ))
            .select(columns_of::<DuplicateGroup>());
        self.0.load(query).await
    }

    async fn exists(&self, id: DuplicateGroupId) -> Result<bool> {
        self.0.one(exists_by_id::<DuplicateGroup>(id)).await
    }

    async fn list(
        &self,
        filter: &DuplicateGroupFilter,
        page: &Page<DuplicateGroupOrder>,
    ) -> Result<Paged<DuplicateGroup>> {
        let rows = filter.query().select(columns_of::<DuplicateGroup>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DuplicateGroupFilter,
        page: &Page<DuplicateGroupOrder>,
    ) -> Result<Vec<Paged<DuplicateGroup>>> {
        let rows = filter
            .query()
            .filter(duplicate_groups::analysis_id.eq(parent_id(duplicate_groups::analysis_id)))
            .select(columns_of::<DuplicateGroup>());
        let children = filter
            .query()
            .filter(is_one_of(duplicate_groups::analysis_id, ids))
            .select(duplicate_groups::analysis_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.analysis_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DuplicateGroupFilter) -> RowStream<'a, DuplicateGroup> {
        self.0
            .stream(filter.query().select(columns_of::<DuplicateGroup>()))
    }

    async fn count(&self, filter: &DuplicateGroupFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: DuplicateGroupId,
        changes: DuplicateGroupChanges,
    ) -> Result<DuplicateGroup> {
        updated_row_uncached(&self.0, "DuplicateGroup", id, &changes).await
    }

    async fn delete(&self, id: DuplicateGroupId) -> Result<bool> {
        match self.0.execute(delete_by_id::<DuplicateGroup>(id)).await? {
            0 => not_deleted("DuplicateGroup", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &DuplicateGroupFilter) -> Result<u64> {
        let ids = filter.query().select(duplicate_groups::id);
        self.0
            .execute(delete_matching(duplicate_groups::table, ids))
            .await
    }
}
