//! The statements that determine the access of users, and the condition that they share with lists.

use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
#[cfg(feature = "redis")]
use diesel::sql_types::Array;
use diesel::sql_types::{Bool, Nullable, Uuid};
use diesel::{Expression, QueryResult};

use super::list::push_any_of;
use super::{Sql, Statement};
use crate::schema::public::projects;
use crate::schema::public::sql_types::{
    OrganizationRole, ProjectRole, ProjectVisibility, UserRole,
};
use crate::{AnalysisId, AnalysisIssueId, OrganizationId, ProjectId, UserId};

/// The condition that a user can see the project of a row: the only definition of this rule.
///
/// The subqueries do not refer to the row, so that each runs once for a list.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct Visible(pub(crate) UserId);

impl QueryFragment<Pg> for Visible {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "(\"public\".\"projects\".\"status\" <> 'deleted'::public.project_status \
             AND EXISTS (SELECT FROM public.users AS reader WHERE reader.is_active AND reader.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            ") AND (\"public\".\"projects\".\"visibility\" = 'public'::public.project_visibility \
             OR \"public\".\"projects\".\"created_by\" = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            " OR \"public\".\"projects\".\"id\" IN \
             (SELECT joined.project_id FROM public.project_members AS joined WHERE joined.user_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            ") OR \"public\".\"projects\".\"organization_id\" IN \
             (SELECT managed.organization_id FROM public.organization_members AS managed \
             WHERE managed.role IN ('owner'::public.organization_role, 'admin'::public.organization_role) \
             AND managed.user_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            ") OR \"public\".\"projects\".\"visibility\" = 'internal'::public.project_visibility \
             AND \"public\".\"projects\".\"organization_id\" IN \
             (SELECT joined.organization_id FROM public.organization_members AS joined WHERE joined.user_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            ") OR EXISTS (SELECT FROM public.users AS reader \
             WHERE reader.role = 'admin'::public.user_role AND reader.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(")))");
        Ok(())
    }
}

impl Expression for Visible {
    type SqlType = Bool;
}

impl AppearsOnTable<projects::table> for Visible {}
impl SelectableExpression<projects::table> for Visible {}
impl<G> ValidGrouping<G> for Visible {
    type IsAggregate = is_aggregate::No;
}

/// The determinant of the projects that an access is to.
pub(crate) trait ProjectsOf {
    /// The type with static lifetimes, which stands for the text.
    type Id: 'static;

    /// Writes what the id of a project is compared with.
    fn push<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

/// These projects.
impl ProjectsOf for &[ProjectId] {
    type Id = &'static [ProjectId];

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_any_of(&mut out, self)
    }
}

/// The project of an analysis.
impl ProjectsOf for AnalysisId {
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "(SELECT analysis.project_id FROM analysis.analyses AS analysis WHERE analysis.id = ",
        );
        out.push_bind_param::<Uuid, _>(self)?;
        out.push_sql(")");
        Ok(())
    }
}

/// The project of the analysis that reports an issue.
impl ProjectsOf for AnalysisIssueId {
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "(SELECT analysis.project_id FROM analysis.analysis_issues AS issue \
             JOIN analysis.analyses AS analysis ON analysis.id = issue.analysis_id WHERE issue.id = ",
        );
        out.push_bind_param::<Uuid, _>(self)?;
        out.push_sql(")");
        Ok(())
    }
}

/// The query for what determines the access of a user to projects. It returns those that the user
/// can see.
pub(crate) struct FactsOfProjects<P> {
    reader: Visible,
    projects: P,
}

impl<P> FactsOfProjects<P> {
    pub(crate) fn new(user_id: UserId, projects: P) -> Sql<Self> {
        let reader = Visible(user_id);
        Sql(Self { reader, projects })
    }
}

impl<P: ProjectsOf> Statement for FactsOfProjects<P> {
    type SqlType = (
        Uuid,
        Bool,
        ProjectVisibility,
        UserRole,
        Nullable<OrganizationRole>,
        Nullable<ProjectRole>,
    );
    type Id = FactsOfProjects<P::Id>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT projects.id, projects.created_by = reader.id, projects.visibility, reader.role, \
             organization.role, project.role \
             FROM \"public\".\"projects\" JOIN public.users AS reader ON reader.id = ");
        out.push_bind_param::<Uuid, _>(&self.reader.0)?;
        out.push_sql(
            " LEFT JOIN public.organization_members AS organization \
             ON organization.organization_id = projects.organization_id AND organization.user_id = reader.id \
             LEFT JOIN public.project_members AS project \
             ON project.project_id = projects.id AND project.user_id = reader.id \
             WHERE projects.id = ",
        );
        self.projects.push(out.reborrow())?;
        out.push_sql(" AND ");
        self.reader.walk_ast(out)
    }
}

/// The query for the role of a user on the platform and in an organization. It returns no row if
/// the user is inactive, or if there is no such user or organization.
pub(crate) struct FactsOfOrganization {
    pub(crate) user_id: UserId,
    pub(crate) id: OrganizationId,
}

impl Statement for FactsOfOrganization {
    type SqlType = (UserRole, Nullable<OrganizationRole>);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT reader.role, member.role FROM public.organizations AS organization \
             JOIN public.users AS reader ON reader.is_active AND reader.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.user_id)?;
        out.push_sql(
            " LEFT JOIN public.organization_members AS member \
             ON member.organization_id = organization.id AND member.user_id = reader.id \
             WHERE organization.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        Ok(())
    }
}

/// The query for the state of a user on the platform and all of its memberships.
#[cfg(feature = "redis")]
pub(crate) struct StandingOf(pub(crate) UserId);

#[cfg(feature = "redis")]
impl Statement for StandingOf {
    type SqlType = (
        Bool,
        UserRole,
        Array<Uuid>,
        Array<OrganizationRole>,
        Array<Uuid>,
        Array<ProjectRole>,
    );
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT reader.is_active, reader.role");
        for (table, parent) in [
            ("organization_members", "organization_id"),
            ("project_members", "project_id"),
        ] {
            for column in [parent, "role"] {
                for text in [", ARRAY(SELECT member.", column, " FROM public.", table] {
                    out.push_sql(text);
                }
                out.push_sql(" AS member WHERE member.user_id = reader.id ORDER BY member.");
                out.push_sql(parent);
                out.push_sql(")");
            }
        }
        out.push_sql(" FROM public.users AS reader WHERE reader.id = ");
        out.push_bind_param::<Uuid, _>(&self.0)?;
        Ok(())
    }
}
