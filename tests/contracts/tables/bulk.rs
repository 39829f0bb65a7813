//! Many rows in one call, which are copied from a thousand on.

use super::*;
use std::net::IpAddr;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde_json::json;
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisIssueFilter, AuditAction, IssueSeverity, IssueStatus,
    IssueType, MetricCategory, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewAuditLog,
    NewTool, Platform, ToolCategory, UserRole,
};

/// Notes by which command rows come into `analysis_issues`.
const NOTES: &str = "
    CREATE TABLE public.ways (way text);
    GRANT INSERT ON public.ways TO PUBLIC;
    CREATE FUNCTION public.note_the_way() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.ways SELECT pg_catalog.current_query(); RETURN NULL; END $$;
    CREATE TRIGGER note_the_way AFTER INSERT ON analysis.analysis_issues
    FOR EACH STATEMENT EXECUTE FUNCTION public.note_the_way();";

const COPIES: &str = "public.ways WHERE way LIKE 'COPY %'";

fn issue(analysis: AnalysisId, number: usize) -> NewAnalysisIssue {
    let (kind, severity) = (IssueType::ALL[number % 8], IssueSeverity::ALL[number % 5]);
    NewAnalysisIssue::new(analysis, kind, severity, number.to_string(), "a.rs")
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn issues(analysis: AnalysisId, count: usize) -> Vec<NewAnalysisIssue> {
    (0..count).map(|number| issue(analysis, number)).collect()
}

#[both_engines]
#[case]
async fn a_thousand_rows_are_copied_and_fewer_are_not() {
    let (db, database) = database().await;
    execute(&db, NOTES).await;
    let project = project(&db).await.id;
    let new = new_analysis(&db, project).await;
    let id = db.analyses().create(new).await.unwrap().id;
    let mut observer = Observer::of(&database.url());
    let rows = db.analysis_issues();

    assert_eq!(rows.create_many(&issues(id, 999)).await.unwrap(), 999);
    assert_eq!(observer.count(COPIES), 0);
    assert_eq!(rows.create_many(&issues(id, 1_000)).await.unwrap(), 1_000);
    assert_eq!(observer.count(COPIES), 1);
    assert_eq!(rows.create_many(&issues(id, 12_345)).await.unwrap(), 12_345);
    assert_eq!(observer.count(COPIES), 2);
    db.transaction(async |tx| -> Result<(), Error> {
        let written = tx.analysis_issues().create_many(&issues(id, 1_000)).await?;
        assert_eq!(written, 1_000);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(observer.count(COPIES), 3);

    let (few, many) = (
        new_analysis(&db, project).await,
        new_analysis(&db, project).await,
    );
    let (few_issues, many_issues) = (issues(few.id, 999), issues(many.id, 11_000));
    let ingest = db.analyses().ingest(few).issues(few_issues);
    ingest.run().await.unwrap();
    assert_eq!(observer.count(COPIES), 3);
    let ingest = db.analyses().ingest(many).issues(many_issues);
    ingest.run().await.unwrap();
    assert_eq!(observer.count(COPIES), 5);
    assert_eq!(observer.count("analysis.analysis_issues"), 27_343);
}

/// Creates the rows by `COPY` and by `UNNEST` in one transaction, which have one `now()`: each must
/// find the other's.
#[both_engines]
macro_rules! are_the_same_either_way {
    ($db:ident, $rows:ident, $new:expr) => {{
        let new: Vec<_> = (0..1_000).map($new).collect();
        let ids: Vec<_> = new.iter().map(|row| row.id).collect();
        let mut copied = Vec::new();
        let compared = $db.transaction(async |tx| -> Result<(), Error> {
            let undone = tx
                .savepoint(async |tx| -> Result<(), Error> {
                    assert_eq!(tx.$rows().create_many(&new).await?, 1_000);
                    copied = tx.$rows().find_many(&ids).await?;
                    Err(Error::NotFound { what: "reason" })
                })
                .await;
            assert!(
                matches!(undone, Err(Error::NotFound { what: "reason" })),
                "{undone:?}"
            );
            for few in new.chunks(500) {
                tx.$rows().create_many(few).await?;
            }
            let unnested = tx.$rows().find_many(&ids).await?;
            for (copied, unnested) in copied.iter().zip(&unnested) {
                assert!(copied.is_some());
                assert_eq!(copied, unnested);
            }
            assert_eq!((copied.len(), unnested.len()), (1_000, 1_000));
            Ok(())
        });
        compared.await.unwrap();
    }};
}

#[both_engines]
#[case]
async fn values_and_defaults_are_the_same_whichever_way_they_go() {
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let id = analysis(&db).await.id;
    // Every other row leaves to the database what it may.
    are_the_same_either_way!(db, analysis_issues, |number| {
        let new = issue(id, number).rule_id("Grüße, \t\n\\N \"{}\"");
        match number % 3 {
            0 => new,
            1 => new
                .line_number(-1)
                .column_number(i32::MAX)
                .status(IssueStatus::Open),
            _ => new
                .status(IssueStatus::Resolved)
                .resolved_at(time("2024-02-29T23:59:59.999999Z"))
                .resolved_by(ada)
                .created_at(time("2024-02-28T00:00:00Z")),
        }
    });
    are_the_same_either_way!(db, analysis_metrics, |number| {
        let new = NewAnalysisMetric::new(id, "lines", MetricCategory::Complexity);
        let value: BigDecimal = ["0", "-12345678.9012", "0.0001", "10000"][number % 4]
            .parse()
            .unwrap();
        if number % 5 == 0 {
            new
        } else {
            new.metric_value(value)
        }
    });
    are_the_same_either_way!(db, analysis_results, |number| {
        let new = NewAnalysisResult::new(id, format!("{number}.rs"));
        if number % 2 == 0 {
            return new;
        }
        new.issues(vec![json!({"emoji": "🦀", "n": 1e300})])
            .dependencies(vec!["a".to_owned()])
    });
    are_the_same_either_way!(db, audit_logs, |number| {
        let new = NewAuditLog::new(AuditAction::ALL[number % 9], "user");
        if number % 2 == 0 {
            return new;
        }
        let address = if number % 3 == 0 {
            "2001:db8::1"
        } else {
            "10.0.0.1"
        };
        new.user_id(ada)
            .metadata(json!([null]))
            .ip_address(address.parse::<IpAddr>().unwrap())
    });
    are_the_same_either_way!(db, users, |number| {
        let new = NewUser::new(format!("{number}@example.org"), "x");
        if number % 2 == 0 {
            return new;
        }
        new.role(UserRole::Admin)
            .is_active(false)
            .preferences(json!({"a": number}))
    });
    // Has an array of enums, which is cast, and is not copied therefore.
    are_the_same_either_way!(db, tools, |number| {
        let new = NewTool::new(format!("tool {number}"), ToolCategory::Runtime);
        if number % 2 == 0 {
            return new;
        }
        new.supported_platforms([Platform::Linux, Platform::Docker])
            .dependencies(vec!["a,\"b".to_owned(), String::new()])
    });
}

#[both_engines]
#[case]
async fn a_copy_that_is_refused_says_why_and_fails_its_transaction() {
    let (db, _database) = database().await;
    let id = analysis(&db).await.id;
    let mut rows = issues(id, 1_500);
    rows[1_234].id = rows[77].id;
    let refused = db.analysis_issues().create_many(&rows).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("analysis_issues_pkey"));
    rows[1_234] = issue(AnalysisId::new(), 0);
    let refused = db.analysis_issues().create_many(&rows).await.unwrap_err();
    assert_eq!(
        refused.constraint(),
        Some("analysis_issues_analysis_id_fkey")
    );

    let swallowed = db
        .transaction(async |tx| -> Result<(), Error> {
            let refused = tx.analysis_issues().create_many(&rows).await;
            assert!(
                matches!(refused, Err(Error::MissingReference(_))),
                "{refused:?}"
            );
            Ok(())
        })
        .await;
    assert!(
        matches!(swallowed, Err(Error::Other { .. })),
        "{swallowed:?}"
    );
    let all = AnalysisIssueFilter::new();
    assert_eq!(db.analysis_issues().count(&all).await.unwrap(), 0);
    // The connection is as good as before.
    rows.truncate(1_234);
    assert_eq!(
        db.analysis_issues().create_many(&rows).await.unwrap(),
        1_234
    );
}

#[both_engines]
#[case]
async fn where_only_a_copy_is_forbidden_the_rows_are_inserted() {
    let (db, database) = database().await;
    execute(&db, NOTES).await;
    let guest = format!("guest_of_{}", database.name());
    let guarded = format!(
        "ALTER TABLE analysis.analysis_issues ENABLE ROW LEVEL SECURITY;
         CREATE POLICY everything ON analysis.analysis_issues USING (true);
         CREATE ROLE \"{guest}\" LOGIN;
         GRANT USAGE ON SCHEMA analysis, public TO \"{guest}\";
         GRANT ALL ON ALL TABLES IN SCHEMA analysis, public TO \"{guest}\";"
    );
    execute(&db, &guarded).await;
    let (id, new) = (
        analysis(&db).await.id,
        new_analysis(&db, project(&db).await.id).await,
    );
    let found = issues(new.id, 1_000);
    let guests = database
        .url()
        .replacen("postgres@", &format!("{guest}@"), 1);
    let guests = Db::connect_to(&guests).await.unwrap();
    let written = guests
        .analysis_issues()
        .create_many(&issues(id, 1_000))
        .await;
    assert_eq!(written.unwrap(), 1_000);
    let ingested = guests.analyses().ingest(new).issues(found).run().await;
    assert_eq!(ingested.unwrap().counts.issues, 1_000);
    let mut observer = Observer::of(&database.url());
    assert_eq!(observer.count(COPIES), 0);
    assert_eq!(observer.count("analysis.analysis_issues"), 2_000);
    let all = AnalysisFilter::new();
    assert_eq!(db.analyses().count(&all).await.unwrap(), 2);
}

#[both_engines]
#[case]
async fn a_copy_that_is_refused_from_its_start_costs_no_more_than_its_connection() {
    let (db, database) = database().await;
    let renamed =
        |from: &str, to: &str| format!("ALTER TABLE public.users RENAME COLUMN {from} TO {to}");
    execute(&db, &renamed("avatar_url", "gone")).await;
    let new = |number| NewUser::new(format!("{number}@example.org"), "x");
    let users: Vec<_> = (0..1_000).map(new).collect();
    let mut observer = Observer::of(&database.url());
    for _ in 0..20 {
        let refused = db.users().create_many(&users).await.unwrap_err();
        assert!(refused.to_string().contains("avatar_url"), "{refused:?}");
        let swallowed = db
            .transaction(async |tx| -> Result<(), Error> {
                tx.users().create_many(&users).await.unwrap_err();
                let lab = NewOrganization::new("Lab", "lab");
                let after = tx.organizations().create(lab).await;
                assert!(after.is_err());
                Ok(())
            })
            .await;
        assert!(swallowed.is_err());
        assert_eq!(observer.count("public.organizations"), 0);
    }
    execute(&db, &renamed("gone", "avatar_url")).await;
    assert_eq!(db.users().create_many(&users).await.unwrap(), 1_000);
    assert_eq!(observer.count("public.users"), 1_000);
}
