//! `setup.tools`.

use diesel::prelude::{ExpressionMethods, PgExpressionMethods, QueryDsl};

use super::*;
use crate::schema::setup::tools;
use crate::sql::tools::NeededTools;
use crate::sql::{columns_of, delete_matching, exists_by_id, find_by_id};
use crate::{NewTool, Page, Paged, Result, Tool, ToolChanges, ToolFilter, ToolId, ToolOrder};

/// Stores and finds tools.
#[repository]
pub trait ToolRepository: Send + Sync {
    /// Creates a tool.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewTool) -> Result<Tool>;

    /// Creates any number of tools, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewTool]) -> Result<u64>;

    /// Returns the tool with this id. Returns `None` if there is none.
    async fn find(&self, id: ToolId) -> Result<Option<Tool>>;

    /// Returns the tools with these ids, in the order of `ids`, with one query. An id without a row
    /// gets `None`.
    async fn find_many(&self, ids: &[ToolId]) -> Result<Vec<Option<Tool>>>;

    /// Returns the tool with this name and version. Without a version, it returns the tool that has
    /// none. The schema allows several of them; it returns the newest.
    async fn find_by_name_and_version(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Tool>>;

    /// Returns the newest active tool with this name, of any version.
    async fn find_newest(&self, name: &str) -> Result<Option<Tool>>;

    /// Returns the tools to install for these names, each after its dependencies, with one query.
    ///
    /// For each name it takes the newest active tool. The order is deterministic: otherwise tools
    /// are in the order of `names`, and the dependencies of one tool are sorted by name.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if there is no active tool for a name, or if tools depend on each
    ///   other in a circle; the error names the tool that needs it, or the circle
    async fn install_order(&self, names: &[&str]) -> Result<Vec<Tool>>;

    /// Checks whether there is a tool with this id.
    async fn exists(&self, id: ToolId) -> Result<bool>;

    /// Returns one page of the tools that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(&self, filter: &ToolFilter, page: &Page<ToolOrder>) -> Result<Paged<Tool>>;

    /// Streams the tools that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ToolFilter) -> RowStream<'a, Tool>;

    /// Counts the tools that the filter matches.
    async fn count(&self, filter: &ToolFilter) -> Result<u64>;

    /// Updates a tool and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such tool
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(&self, id: ToolId, changes: ToolChanges) -> Result<Tool>;

    /// Deletes a tool, and returns whether it existed.
    async fn delete(&self, id: ToolId) -> Result<bool>;

    /// Deletes every tool that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &ToolFilter) -> Result<u64>;
}

/// The [`ToolRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Tools<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the tools.
    pub fn tools(&self) -> Tools<'static> {
        Tools(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the tools within this transaction.
    pub fn tools(&self) -> Tools<'_> {
        Tools(self.executor())
    }
}

#[repository(observed)]
impl ToolRepository for Tools<'_> {
    async fn create(&self, new: NewTool) -> Result<Tool> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewTool]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: ToolId) -> Result<Option<Tool>> {
        self.0.first(find_by_id::<Tool>(id)).await
    }

    async fn find_many(&self, ids: &[ToolId]) -> Result<Vec<Option<Tool>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_name_and_version(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Tool>> {
        let query = tools::table
            .filter(tools::name.eq(name))
            .filter(tools::version.is_not_distinct_from(version))
            .order((tools::created_at.desc(), tools::id.desc()))
            .limit(1)
            .select(columns_of::<Tool>());
        self.0.first(query).await
    }

    async fn find_newest(&self, name: &str) -> Result<Option<Tool>> {
        let query = tools::table
            .filter(tools::name.eq(name))
            .filter(tools::is_active)
            .order((tools::created_at.desc(), tools::id.desc()))
            .limit(1)
            .select(columns_of::<Tool>());
        self.0.first(query).await
    }

    async fn install_order(&self, names: &[&str]) -> Result<Vec<Tool>> {
        let needed: Vec<Tool> = self.0.load(NeededTools::new(names)).await?;
        crate::models::install_order(names, &needed)
    }

    async fn exists(&self, id: ToolId) -> Result<bool> {
        self.0.one(exists_by_id::<Tool>(id)).await
    }

    async fn list(&self, filter: &ToolFilter, page: &Page<ToolOrder>) -> Result<Paged<Tool>> {
        let rows = filter.query().select(columns_of::<Tool>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ToolFilter) -> RowStream<'a, Tool> {
        self.0.stream(filter.query().select(columns_of::<Tool>()))
    }

    async fn count(&self, filter: &ToolFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: ToolId, changes: ToolChanges) -> Result<Tool> {
        updated_row(&self.0, "Tool", id, &changes).await
    }

    async fn delete(&self, id: ToolId) -> Result<bool> {
        let statement = diesel::delete(tools::table.find(id)).returning(tools::id);
        match deleted_row::<ToolId, _>(&self.0, statement).await? {
            true => Ok(true),
            false => not_deleted("Tool", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &ToolFilter) -> Result<u64> {
        let ids = filter.query().select(tools::id);
        let statement = delete_matching(tools::table, ids).returning(tools::id);
        deleted_each::<ToolId, _>(&self.0, statement).await
    }
}
