use super::*;
use wundr_db::{
    AnalysisId, AnalysisIssue, AnalysisIssueFilter, AnalysisIssueOrder, IssueSeverity, IssueType,
    NewAnalysisIssue, OrganizationId, Page, ProjectFilter, ProjectOrder,
};

const SEVERITIES: [IssueSeverity; 4] = [
    IssueSeverity::Low,
    IssueSeverity::Critical,
    IssueSeverity::Medium,
    IssueSeverity::High,
];

/// An analysis with an issue of each of these severities.
#[both_engines]
async fn analysis_with(db: &Db, severities: &[IssueSeverity]) -> AnalysisId {
    let id = analysis(db).await.id;
    let issues: Vec<_> = severities
        .iter()
        .map(|&severity| NewAnalysisIssue::new(id, IssueType::Security, severity, "wrong", "a.rs"))
        .collect();
    db.analysis_issues().create_many(&issues).await.unwrap();
    id
}

fn severities(issues: &[AnalysisIssue]) -> Vec<IssueSeverity> {
    issues.iter().map(|issue| issue.severity).collect()
}

#[both_engines]
#[case]
async fn each_parent_gets_the_page_that_a_list_of_its_own_would_be() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let (full, few) = (
        analysis_with(&db, &SEVERITIES).await,
        analysis_with(&db, &SEVERITIES[..1]).await,
    );
    let (empty, nowhere) = (analysis(&db).await.id, AnalysisId::new());
    let ids = [few, nowhere, full, empty, full];

    let pages = [
        Page::new().limit(3),
        Page::new().limit(2).with_total(),
        Page::new()
            .limit(2)
            .last()
            .order(AnalysisIssueOrder::Newest),
    ];
    let filters = [
        AnalysisIssueFilter::new(),
        AnalysisIssueFilter::new().severity_at_least(IssueSeverity::Medium),
    ];
    for filter in &filters {
        for page in &pages {
            let answers = issues.list_of_analyses(&ids, filter, page).await.unwrap();
            assert_eq!(answers.len(), ids.len());
            for (id, answer) in ids.iter().zip(answers) {
                let own = filter.clone().analysis_id(*id);
                assert_eq!(answer, issues.list(&own, page).await.unwrap());
            }
        }
    }
    let first = issues
        .list_of_analyses(&ids, &filters[0], &pages[0])
        .await
        .unwrap();
    assert_eq!(
        severities(&first[2].items),
        [
            IssueSeverity::Critical,
            IssueSeverity::High,
            IssueSeverity::Medium
        ]
    );
    assert!(first[2].next.is_some() && first[0].next.is_none() && first[1].items.is_empty());
    let none = issues.list_of_analyses(&[], &filters[0], &pages[1]).await;
    assert_eq!(none.unwrap(), []);
}

#[both_engines]
#[case]
async fn a_place_in_a_parents_page_is_where_a_list_goes_on() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let id = analysis_with(&db, &SEVERITIES).await;
    let all = AnalysisIssueFilter::new();
    let page = Page::new().limit(3);
    let first = issues.list_of_analyses(&[id], &all, &page).await.unwrap();
    for (index, issue) in first[0].items.iter().enumerate() {
        let cursor = AnalysisIssueOrder::Severity.cursor_of(issue);
        let rest = all.clone().analysis_id(id);
        let rest = issues
            .list(&rest, &Page::new().after(cursor))
            .await
            .unwrap();
        assert_eq!(rest.items.len(), 3 - index);
    }
    let last = AnalysisIssueOrder::Severity.cursor_of(first[0].items.last().unwrap());
    assert_eq!(first[0].next.as_ref(), Some(&last));
    let page = page.after(last);
    let rest = issues.list_of_analyses(&[id], &all, &page).await.unwrap();
    assert_eq!(severities(&rest[0].items), [IssueSeverity::Low]);
}

#[both_engines]
#[case]
async fn a_parent_that_may_be_absent_has_children_too() {
    let (db, _database) = database().await;
    let (lab, other) = (organization(&db).await.id, organization(&db).await.id);
    let creator = user(&db).await.id;
    for (name, owner) in [
        ("a", Some(lab)),
        ("b", Some(other)),
        ("c", Some(lab)),
        ("d", None),
    ] {
        let mut new = NewProject::new(name, creator);
        new.organization_id = owner;
        db.projects().create(new).await.unwrap();
    }
    let page = Page::new().order(ProjectOrder::Name).with_total();
    let ids = [OrganizationId::new(), lab, other];
    let answers = db
        .projects()
        .list_of_organizations(&ids, &ProjectFilter::new(), &page)
        .await
        .unwrap();
    let found: Vec<_> = answers
        .iter()
        .map(|answer| {
            let names: Vec<_> = answer.items.iter().map(|project| &*project.name).collect();
            (names, answer.total)
        })
        .collect();
    assert_eq!(
        found,
        [
            (vec![], Some(0)),
            (vec!["a", "c"], Some(2)),
            (vec!["b"], Some(1))
        ]
    );
    let of_creators = db
        .projects()
        .list_of_users(&[creator], &ProjectFilter::new(), &page)
        .await;
    assert_eq!(of_creators.unwrap()[0].total, Some(4));
}
