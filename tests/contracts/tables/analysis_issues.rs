use super::*;
use chrono::{DateTime, Utc};
use wundr_db::{
    AnalysisId, AnalysisIssue, AnalysisIssueChanges, AnalysisIssueFilter, AnalysisIssueId,
    AnalysisIssueOrder, AnalysisType, IssueSeverity, IssueStatus, IssueType, NewAnalysisIssue,
    Page, UserId,
};

fn issue(analysis_id: AnalysisId, severity: IssueSeverity, path: &str) -> NewAnalysisIssue {
    NewAnalysisIssue::new(
        analysis_id,
        IssueType::Security,
        severity,
        "Hard-coded password",
        path,
    )
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    let new = issue(analysis.id, IssueSeverity::High, "src/a.rs")
        .rule_id("S1")
        .line_number(3)
        .estimated_fix_time(5);
    let row = issues.create(new).await.unwrap();

    assert_eq!(
        (row.status, row.resolved_at, row.resolved_by),
        (IssueStatus::Open, None, None)
    );
    assert_eq!((row.line_number, row.column_number), (Some(3), None));
    assert_eq!(issues.find(row.id).await.unwrap(), Some(row.clone()));
    let changed = AnalysisIssueChanges::new()
        .severity(IssueSeverity::Low)
        .line_number(None)
        .r#type(IssueType::BestPractice);
    let changed = issues.update(row.id, changed).await.unwrap();
    assert_eq!(
        (changed.severity, changed.line_number, changed.r#type),
        (IssueSeverity::Low, None, IssueType::BestPractice)
    );
    let mut long = issue(analysis.id, IssueSeverity::Low, "a");
    long.title = "x".repeat(501);
    assert_eq!(field_of(issues.create(long).await.unwrap_err()), "title");
    let nothing = AnalysisIssueId::new();
    assert_eq!(
        issues.find_many(&[nothing, row.id]).await.unwrap(),
        [None, Some(changed)]
    );
    db.analyses().delete(analysis.id).await.unwrap();
    assert!(!issues.exists(row.id).await.unwrap());
}

#[both_engines]
#[case]
async fn any_number_of_rows_is_created_with_every_kind_of_column() {
    let (db, _database) = database().await;
    let (issues, analysis, user) = (
        db.analysis_issues(),
        analysis(&db).await,
        user(&db).await.id,
    );
    let then = "2024-01-01T00:00:00Z"
        .parse::<chrono::DateTime<chrono::Utc>>()
        .unwrap();
    let mut many: Vec<_> = (0..25_000)
        .map(|n| {
            let severity = IssueSeverity::ALL[n % 5];
            let new = issue(analysis.id, severity, &format!("src/{n}.rs"));
            if n % 2 == 0 {
                new
            } else {
                new.status(IssueStatus::Resolved)
                    .resolved_at(then)
                    .resolved_by(user)
                    .line_number(n as i32)
                    .rule_id("S1")
                    .created_at(then)
            }
        })
        .collect();
    let of_analysis = AnalysisIssueFilter::new().analysis_id(analysis.id);

    many[24_999].resolved_by = Some(UserId::new());
    assert!(matches!(
        issues.create_many(&many).await,
        Err(Error::MissingReference(_))
    ));
    assert_eq!(issues.count(&of_analysis).await.unwrap(), 0);
    many[24_999].resolved_by = Some(user);
    assert_eq!(issues.create_many(&many).await.unwrap(), 25_000);
    let (open, resolved) = (
        issues.find(many[0].id).await.unwrap().unwrap(),
        issues.find(many[24_999].id).await.unwrap().unwrap(),
    );
    assert_eq!(
        (open.status, open.line_number, open.rule_id),
        (IssueStatus::Open, None, None)
    );
    assert_eq!((open.resolved_at, open.resolved_by), (None, None));
    assert_eq!(
        (
            resolved.status,
            resolved.line_number,
            resolved.rule_id.as_deref()
        ),
        (IssueStatus::Resolved, Some(24_999), Some("S1"))
    );
    assert_eq!(
        (
            resolved.resolved_at,
            resolved.resolved_by,
            resolved.created_at
        ),
        (Some(then), Some(user), then)
    );
}

#[both_engines]
#[case]
async fn the_worst_come_first_on_every_page() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    for severity in [2, 0, 4, 1, 3, 0, 2] {
        let new = issue(analysis.id, IssueSeverity::ALL[severity], "src/a.rs");
        issues.create(new).await.unwrap();
    }

    let filter = AnalysisIssueFilter::new().analysis_id(analysis.id);
    let (mut severities, mut page) = (Vec::new(), Page::new().limit(2));
    loop {
        let listed = issues.list(&filter, &page).await.unwrap();
        let place = |issue: &AnalysisIssue| {
            IssueSeverity::ALL
                .iter()
                .position(|one| *one == issue.severity)
        };
        severities.extend(listed.items.iter().map(place));
        match listed.next {
            Some(next) => page = Page::new().limit(2).after(next),
            None => break,
        }
    }
    assert_eq!(severities, [0, 0, 1, 2, 2, 3, 4].map(Some));
    let last = Page::new().limit(1).last();
    let last = issues.list(&filter, &last).await.unwrap();
    assert_eq!(last.items[0].severity, IssueSeverity::Info);
    let bad = AnalysisIssueFilter::new().severity_at_least(IssueSeverity::High);
    assert_eq!(issues.count(&bad).await.unwrap(), 3);
}

#[both_engines]
#[case]
async fn filters_take_wildcards_literally_and_empty_lists_as_nothing() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    for path in ["src/a_b/x.rs", "src/acb/x.rs", "src/100%.rs", "SRC/a_b"] {
        let new = issue(analysis.id, IssueSeverity::Low, path);
        issues.create(new).await.unwrap();
    }
    let filter = AnalysisIssueFilter::new;
    let by_file = Page::new().order(AnalysisIssueOrder::File);

    let folder = filter().file_path_prefix("src/a_");
    let listed = issues.list(&folder, &by_file).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].file_path, "src/a_b/x.rs");
    for (filter, count) in [
        (filter().file_path_prefix("src/"), 3),
        (filter().file_path_prefix("%"), 0),
        (filter().file_path_prefix(""), 4),
        (filter().file_path_prefix("SRC/a_b"), 1),
        (filter().file_path_prefix("\u{e9}"), 0),
        (filter().file_path("src/100%.rs"), 1),
        (filter().analysis_ids([analysis.id, AnalysisId::new()]), 4),
        (filter().analysis_ids([]), 0),
        (filter().status(IssueStatus::Ignored), 0),
        (filter().rule_id("S1"), 0),
        (filter().r#type(IssueType::Security), 4),
    ] {
        assert_eq!(issues.count(&filter).await.unwrap(), count, "{filter:?}");
    }
    let nothing = filter().analysis_ids([]);
    assert_eq!(issues.delete_many(&nothing).await.unwrap(), 0);
    assert_eq!(issues.count(&filter()).await.unwrap(), 4);
}

#[both_engines]
#[case]
async fn what_becomes_of_an_issue_is_noted_with_time_and_user() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let new = issue(analysis.id, IssueSeverity::Low, "a.rs");
    let id = issues.create(new).await.unwrap().id;

    let resolved = issues.resolve(id, ada).await.unwrap();
    assert_eq!(
        (resolved.status, resolved.resolved_by),
        (IssueStatus::Resolved, Some(ada))
    );
    assert!(resolved.resolved_at.is_some());
    assert_eq!(
        issues.resolve(id, bob).await.unwrap(),
        resolved,
        "the first counts"
    );
    let ignored = issues.ignore(id, bob).await.unwrap();
    assert_eq!(
        (ignored.status, ignored.resolved_by),
        (IssueStatus::Ignored, Some(bob))
    );
    assert!(ignored.resolved_at > resolved.resolved_at);
    let none = issues.mark_false_positive(id, ada).await.unwrap();
    assert_eq!(
        (none.status, none.resolved_by),
        (IssueStatus::FalsePositive, Some(ada))
    );
    let open = issues.reopen(id).await.unwrap();
    assert_eq!(
        (open.status, open.resolved_at, open.resolved_by),
        (IssueStatus::Open, None, None)
    );
    assert_eq!(issues.reopen(id).await.unwrap(), open);
    assert!(matches!(
        issues.resolve(id, UserId::new()).await,
        Err(Error::MissingReference(_))
    ));
    let missing = AnalysisIssueId::new();
    for missing in [
        issues.resolve(missing, ada).await,
        issues.reopen(missing).await,
    ] {
        assert!(matches!(missing, Err(Error::NotFound { .. })));
    }
}

#[both_engines]
#[case]
async fn many_are_resolved_and_counted() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let mut ids = Vec::new();
    for (n, rule) in ["S1", "S2", "S2", "S3"].into_iter().enumerate() {
        let new = issue(analysis.id, IssueSeverity::ALL[n / 2], "a.rs").rule_id(rule);
        ids.push(issues.create(new).await.unwrap().id);
    }
    let without_rule = issue(analysis.id, IssueSeverity::Info, "a.rs");
    issues.create(without_rule).await.unwrap();
    issues.resolve(ids[0], ada).await.unwrap();

    let all = AnalysisIssueFilter::new().analysis_id(analysis.id);
    let severe = all.clone().severity_at_least(IssueSeverity::High);
    assert_eq!(issues.resolve_many(&severe, bob).await.unwrap(), 3);
    let first = issues.find(ids[0]).await.unwrap().unwrap();
    assert_eq!(first.resolved_by, Some(ada));
    assert_eq!(
        issues.count_by_severity(&all).await.unwrap(),
        [
            (IssueSeverity::Critical, 2),
            (IssueSeverity::High, 2),
            (IssueSeverity::Medium, 0),
            (IssueSeverity::Low, 0),
            (IssueSeverity::Info, 1)
        ]
    );
    let types = issues.count_by_type(&all).await.unwrap();
    assert_eq!(types.len(), IssueType::ALL.len());
    assert_eq!(types[1], (IssueType::Security, 5));
    assert_eq!(
        issues.count_by_rule(&all, 2).await.unwrap(),
        [("S2".to_owned(), 2), ("S1".to_owned(), 1)]
    );
    assert_eq!(
        field_of(issues.count_by_rule(&all, 0).await.unwrap_err()),
        "limit"
    );
}

#[both_engines]
#[case]
async fn many_are_settled_and_updated() {
    let (db, _database) = database().await;
    let (issues, analysis) = (db.analysis_issues(), analysis(&db).await);
    let ada = user(&db).await.id;
    let mut ids = Vec::new();
    for severity in [IssueSeverity::High, IssueSeverity::High, IssueSeverity::Low] {
        let new = issue(analysis.id, severity, "a.rs");
        ids.push(issues.create(new).await.unwrap().id);
    }
    let all = AnalysisIssueFilter::new().analysis_id(analysis.id);
    let severe = all.clone().severity(IssueSeverity::High);
    let ignored = issues.settle_many(&severe, IssueStatus::Ignored, ada).await;
    assert_eq!(ignored.unwrap(), 2);
    let ignored = issues.settle_many(&severe, IssueStatus::Ignored, ada).await;
    assert_eq!(ignored.unwrap(), 0);
    let first = issues.find(ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (first.status, first.resolved_by),
        (IssueStatus::Ignored, Some(ada))
    );
    assert!(first.resolved_at.is_some());
    let opened = issues.settle_many(&all, IssueStatus::Open, ada).await;
    assert_eq!(opened.unwrap(), 2);
    let first = issues.find(ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (first.status, first.resolved_by, first.resolved_at),
        (IssueStatus::Open, None, None)
    );
    let nobody = issues
        .settle_many(&all, IssueStatus::Resolved, UserId::new())
        .await;
    assert!(
        matches!(nobody, Err(Error::MissingReference(_))),
        "{nobody:?}"
    );
    assert_eq!(
        issues
            .count(&all.clone().status(IssueStatus::Open))
            .await
            .unwrap(),
        3
    );

    let changes = AnalysisIssueChanges::new()
        .severity(IssueSeverity::Medium)
        .rule_id(None);
    assert_eq!(
        issues.update_many(&severe, changes.clone()).await.unwrap(),
        2
    );
    assert_eq!(issues.update_many(&severe, changes).await.unwrap(), 0);
    let none = all.clone().analysis_ids([]);
    let low = AnalysisIssueChanges::new().severity(IssueSeverity::Low);
    assert_eq!(issues.update_many(&none, low).await.unwrap(), 0);
    let nothing = AnalysisIssueChanges::new();
    assert_eq!(issues.update_many(&all, nothing).await.unwrap(), 0);
    let refused = AnalysisIssueChanges::new().title("a".repeat(501));
    let refused = issues.update_many(&all, refused).await;
    assert_eq!(field_of(refused.unwrap_err()), "title");
    let medium = all.severity(IssueSeverity::Medium);
    assert_eq!(issues.count(&medium).await.unwrap(), 2);
}

/// A project with three completed analyses, of which the second is the newest of its type, and one
/// pending analysis. Each has 25 issues; so has an analysis of another project.
#[both_engines]
async fn project_with_issues(db: &Db) -> (ProjectId, Vec<AnalysisId>) {
    let (project_id, elsewhere) = (project(db).await.id, project(db).await.id);
    let time = |hour: i64| {
        let first = "2024-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        first + chrono::Duration::hours(hour)
    };
    let mut ids = Vec::new();
    for (n, r#type) in [
        AnalysisType::Quality,
        AnalysisType::Quality,
        AnalysisType::Security,
        AnalysisType::Quality,
        AnalysisType::Quality,
    ]
    .into_iter()
    .enumerate()
    {
        let of_project = if n == 4 { elsewhere } else { project_id };
        let (created, ended) = (time(n as i64), time(n as i64 + 1));
        let mut new = new_analysis(db, of_project).await.created_at(created);
        new.r#type = r#type;
        if n != 3 {
            new = new.completed(created, ended);
        }
        let id = db.analyses().create(new).await.unwrap().id;
        let new: Vec<_> = (0..25)
            .map(|k| {
                let severity = IssueSeverity::ALL[(k * 7 + n) % 5];
                let path = format!("src/{}/{}.rs", k % 2, (k * 11 + n) % 6);
                issue(id, severity, &path).created_at(time((k * 13 % 9) as i64))
            })
            .collect();
        db.analysis_issues().create_many(&new).await.unwrap();
        ids.push(id);
    }
    (project_id, ids)
}

#[both_engines]
#[case]
async fn issues_of_a_project_are_those_of_its_analyses_in_every_order() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let (project_id, analyses) = project_with_issues(&db).await;
    let of_project = AnalysisIssueFilter::new().project_id(project_id);
    let latest = AnalysisIssueFilter::new().latest_of_project(project_id);

    for (filter, analyses) in [
        (of_project.clone(), &analyses[..4]),
        (latest.clone(), &analyses[1..3]),
        (latest.project_id(project_id), &analyses[1..3]),
        (of_project.file_path_prefix("src/1/"), &analyses[..4]),
    ] {
        let by_ids = {
            let mut new = filter.clone();
            new.project_id = None;
            new.latest_of_project = None;
            new.analysis_ids = Some(analyses.to_vec());
            new
        };
        assert_eq!(
            issues.count(&filter).await.unwrap(),
            issues.count(&by_ids).await.unwrap()
        );
        assert_eq!(
            issues.count_by_severity(&filter).await.unwrap(),
            issues.count_by_severity(&by_ids).await.unwrap()
        );
        for order in [
            AnalysisIssueOrder::Severity,
            AnalysisIssueOrder::Newest,
            AnalysisIssueOrder::Oldest,
            AnalysisIssueOrder::File,
        ] {
            let request = || Page::new().limit(7).order(order).with_total();
            let (mut page, mut by_id) = (request(), request());
            loop {
                let listed = issues.list(&filter, &page).await.unwrap();
                let expected = issues.list(&by_ids, &by_id).await.unwrap();
                assert_eq!(listed, expected, "{order:?} of {filter:?}");
                let Some(next) = listed.next else { break };
                page = request().after(next.clone());
                by_id = request().after(next);
            }
            let (mut page, mut by_id) = (request().last(), request().last());
            loop {
                let listed = issues.list(&filter, &page).await.unwrap();
                let expected = issues.list(&by_ids, &by_id).await.unwrap();
                assert_eq!(listed, expected, "{order:?} backward of {filter:?}");
                let Some(previous) = listed.previous else {
                    break;
                };
                page = request().before(previous.clone());
                by_id = request().before(previous);
            }
        }
    }
}

#[both_engines]
#[case]
async fn issues_of_a_project_are_resolved_and_deleted_by_its_id() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let (project_id, analyses) = project_with_issues(&db).await;
    let of_project = AnalysisIssueFilter::new().project_id(project_id);
    let latest = AnalysisIssueFilter::new().latest_of_project(project_id);
    let user = user(&db).await.id;

    assert_eq!(issues.resolve_many(&latest, user).await.unwrap(), 50);
    let open = of_project.clone().status(IssueStatus::Open);
    assert_eq!(issues.count(&open).await.unwrap(), 50);
    assert_eq!(issues.delete_many(&of_project).await.unwrap(), 100);
    let rest = AnalysisIssueFilter::new();
    assert_eq!(issues.count(&rest).await.unwrap(), 25);
    let elsewhere = rest.analysis_id(analyses[4]);
    assert_eq!(issues.count(&elsewhere).await.unwrap(), 25);
    let nowhere = AnalysisIssueFilter::new().latest_of_project(ProjectId::new());
    let listed = issues.list(&nowhere, &Page::new().with_total()).await;
    assert_eq!(listed.unwrap().total, Some(0));
}
