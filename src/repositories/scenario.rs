//! Stores the rows of a test.

use super::*;
use crate::Result;
use crate::testing::{Scenario, SeedRows, Seeded};

#[repository]
impl Db {
    /// Stores an organization with members, projects and analyses for a test, all or nothing, and
    /// returns the rows.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the organization's name cannot be
    ///   stored
    ///
    /// # Cancel safety
    /// If the future is dropped before its end, nothing is stored.
    #[unboxed]
    pub async fn seed(&self, scenario: &Scenario) -> Result<Seeded> {
        let rows = scenario.rows();
        self.transaction(async |tx| seeded(tx, &rows).await).await
    }
}

#[repository]
async fn seeded(tx: &Tx, rows: &SeedRows) -> Result<Seeded> {
    let organization = tx.organizations().create(rows.organization.clone()).await?;
    let owner = tx.users().create(rows.owner.clone()).await?;
    tx.users().create_many(&rows.members).await?;
    tx.organization_members()
        .create_many(&rows.memberships)
        .await?;
    tx.projects().create_many(&rows.projects).await?;
    tx.analyses().create_many(&rows.analyses).await?;
    tx.analysis_issues().create_many(&rows.issues).await?;
    let members: Vec<_> = rows.members.iter().map(|new| new.id).collect();
    let projects: Vec<_> = rows.projects.iter().map(|new| new.id).collect();
    let analyses: Vec<_> = rows.analyses.iter().map(|new| new.id).collect();
    let members = tx.users().find_many(&members).await?;
    let projects = tx.projects().find_many(&projects).await?;
    let analyses = tx.analyses().find_many(&analyses).await?;
    Ok(Seeded {
        organization,
        owner,
        members: members.into_iter().flatten().collect(),
        projects: projects.into_iter().flatten().collect(),
        analyses: analyses.into_iter().flatten().collect(),
    })
}
