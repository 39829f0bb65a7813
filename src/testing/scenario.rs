//! Rows that belong together, for tests.

use chrono::{DurationRound as _, TimeDelta, Utc};

use crate::{
    Analysis, AnalysisSummary, AnalysisType, IssueSeverity, IssueType, Json, NewAnalysis,
    NewAnalysisIssue, NewOrganization, NewOrganizationMember, NewProject, NewUser, Organization,
    OrganizationRole, Project, User, UserId,
};

/// An organization with members, projects and analyses, to be stored for a test.
///
/// `Db::seed` of each engine stores it in one transaction. Addresses and slugs are unique, so that
/// a test can store several.
///
/// # Examples
#[cfg_attr(feature = "async", doc = "```no_run")]
#[cfg_attr(not(feature = "async"), doc = "```ignore")]
/// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::testing::Scenario;
///
/// let acme = Scenario::new().members(3).projects(2).analyses(4);
/// let acme = db.seed(&acme).await?;
/// assert_eq!(acme.analyses.len(), 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Scenario {
    organization: String,
    members: Vec<OrganizationRole>,
    projects: usize,
    analyses: usize,
    issues: usize,
}

impl Default for Scenario {
    fn default() -> Self {
        Self::new()
    }
}

impl Scenario {
    /// Creates an organization with an owner and nothing else.
    pub fn new() -> Self {
        Self {
            organization: "Acme".to_owned(),
            members: Vec::new(),
            projects: 0,
            analyses: 0,
            issues: 0,
        }
    }

    /// Sets the organization's name. Default: `Acme`.
    pub fn organization(mut self, name: impl Into<String>) -> Self {
        self.organization = name.into();
        self
    }

    /// Adds a number of members with the role `member`.
    pub fn members(mut self, number: usize) -> Self {
        let roles = std::iter::repeat_n(OrganizationRole::Member, number);
        self.members.extend(roles);
        self
    }

    /// Adds a member with this role.
    pub fn member(mut self, role: OrganizationRole) -> Self {
        self.members.push(role);
        self
    }

    /// Sets the number of projects. Default: 0. The owner creates them.
    pub fn projects(mut self, number: usize) -> Self {
        self.projects = number;
        self
    }

    /// Sets the number of completed quality analyses of each project. Default: 0.
    ///
    /// They ended on successive days, the last of them now. Their scores rise.
    pub fn analyses(mut self, number: usize) -> Self {
        self.analyses = number;
        self
    }

    /// Sets the number of open issues of each analysis. Default: 0. Kinds and severities alternate.
    pub fn issues(mut self, number: usize) -> Self {
        self.issues = number;
        self
    }

    /// Returns the rows to be stored.
    pub(crate) fn rows(&self) -> SeedRows {
        let unique = UserId::new();
        let user = |name: String| {
            let address = name.to_lowercase().replace(' ', "-");
            NewUser::new(format!("{address}.{unique}@example.org"), name).email_verified(true)
        };
        let organization =
            NewOrganization::new(self.organization.clone(), format!("organization-{unique}"));
        let owner = user("Owner".to_owned());
        let of = |user: UserId, role| NewOrganizationMember::new(organization.id, user, role);
        let mut memberships = vec![of(owner.id, OrganizationRole::Owner)];
        let mut members = Vec::new();
        for (index, &role) in self.members.iter().enumerate() {
            let member = user(format!("Member {}", index + 1));
            memberships.push(of(member.id, role));
            members.push(member);
        }
        let projects: Vec<_> = (1..=self.projects)
            .map(|index| {
                NewProject::new(format!("Project {index}"), owner.id)
                    .organization_id(organization.id)
                    .repository_url(format!("https://example.org/{unique}/{index}"))
            })
            .collect();
        let analyses: Vec<_> = projects
            .iter()
            .flat_map(|project| (0..self.analyses).map(|index| self.analysis(project, index)))
            .collect();
        let issues = analyses
            .iter()
            .flat_map(|analysis| (0..self.issues).map(|index| issue(analysis, index)))
            .collect();
        SeedRows {
            organization,
            owner,
            members,
            memberships,
            projects,
            analyses,
            issues,
        }
    }

    fn analysis(&self, project: &NewProject, index: usize) -> NewAnalysis {
        let now = Utc::now();
        let now = now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now);
        let days = i64::try_from(self.analyses - index - 1).unwrap_or(0);
        let ended = now
            .checked_sub_signed(TimeDelta::days(days.min(100_000)))
            .unwrap_or(now);
        let began = ended - TimeDelta::minutes(1);
        let score = 60 + u32::try_from(index % 40).unwrap_or(0);
        NewAnalysis::new(project.id, AnalysisType::Quality, project.created_by)
            .created_at(began)
            .completed(began, ended)
            .summary(Json::from(AnalysisSummary::scored(f64::from(score))))
    }
}

fn issue(analysis: &NewAnalysis, index: usize) -> NewAnalysisIssue {
    let nth = |number: usize| index % number.max(1);
    let severities = IssueSeverity::ALL;
    let severity = severities.get(nth(severities.len())).copied();
    let kind = IssueType::ALL.get(nth(IssueType::ALL.len())).copied();
    let line = i32::try_from(index % 1_000).unwrap_or(0) + 1;
    NewAnalysisIssue::new(
        analysis.id,
        kind.unwrap_or(IssueType::CodeQuality),
        severity.unwrap_or(IssueSeverity::Medium),
        format!("issue {}", index + 1),
        format!("src/file_{}.rs", index / 10),
    )
    .rule_id(format!("rule-{}", nth(7)))
    .line_number(line)
}

/// The new rows of a scenario.
#[derive(Debug)]
pub(crate) struct SeedRows {
    pub(crate) organization: NewOrganization,
    pub(crate) owner: NewUser,
    pub(crate) members: Vec<NewUser>,
    pub(crate) memberships: Vec<NewOrganizationMember>,
    pub(crate) projects: Vec<NewProject>,
    pub(crate) analyses: Vec<NewAnalysis>,
    pub(crate) issues: Vec<NewAnalysisIssue>,
}

/// The rows of a scenario, as they were stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Seeded {
    /// The organization.
    pub organization: Organization,
    /// Its owner, which created the projects.
    pub owner: User,
    /// Its other members, in the order in which they were added.
    pub members: Vec<User>,
    /// Its projects.
    pub projects: Vec<Project>,
    /// The analyses of its projects, by project and then from the oldest.
    pub analyses: Vec<Analysis>,
}
