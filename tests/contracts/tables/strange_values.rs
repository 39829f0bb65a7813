//! Values that other clients, and newer versions, store in columns of every kind keep no row from
//! being read.

use std::collections::BTreeSet;

use super::*;
use chrono::{DateTime, Utc};
use wundr_db::{
    AnalysisFilter, AnalysisIssueFilter, AnalysisIssueId, AnalysisMetricFilter, AnalysisMetricId,
    AnalysisResultFilter, AnalysisStatus, AnalysisType, ConfigurationFilter, Cursor,
    DependencyGraphFilter, DuplicateGroupFilter, DuplicateGroupOrder, Error, IntegrationFilter,
    IssueSeverity, IssueType, MetricCategory, NewAnalysisIssue, NewAnalysisMetric,
    NewOrganizationMember, NewProjectMember, NewSetupStep, NewUserSession, OrganizationFilter,
    OrganizationMemberFilter, OrganizationMemberId, OrganizationRole, Page, Platform,
    ProjectFilter, ProjectMemberFilter, ProjectMemberId, ProjectRole, SetupProfileFilter,
    SetupSessionFilter, SetupStepFilter, SetupStepId, ToolFilter, User, UserChanges, UserFilter,
    UserOrder, UserRole, UserSessionFilter, UserSessionId, unknown_words,
};

use super::documents::{Rows, rows};

/// The rows of the other tables.
struct More {
    token: UserSessionId,
    member: OrganizationMemberId,
    contributor: ProjectMemberId,
    issue: AnalysisIssueId,
    metric: AnalysisMetricId,
    step: SetupStepId,
}

#[both_engines]
async fn more(db: &Db, rows: &Rows) -> More {
    let expires = Utc::now() + chrono::TimeDelta::hours(1);
    let new = NewUserSession::new(rows.user, "token", expires);
    let token = db.user_sessions().create(new).await.unwrap().id;
    let new = NewOrganizationMember::new(rows.organization, rows.user, OrganizationRole::Owner);
    let member = db.organization_members().create(new).await.unwrap().id;
    let new = NewProjectMember::new(rows.project, rows.user, ProjectRole::Owner);
    let contributor = db.project_members().create(new).await.unwrap().id;
    let new = NewAnalysisIssue::new(
        rows.analysis,
        IssueType::Security,
        IssueSeverity::High,
        "t",
        "a",
    );
    let issue = db.analysis_issues().create(new).await.unwrap().id;
    let new = NewAnalysisMetric::new(rows.analysis, "m", MetricCategory::Quality);
    let value: bigdecimal::BigDecimal = 1.into();
    let metric = db
        .analysis_metrics()
        .create(new.metric_value(value))
        .await
        .unwrap()
        .id;
    let new = NewSetupStep::new(rows.session, "s", 1);
    let step = db.setup_steps().create(new).await.unwrap().id;
    More {
        token,
        member,
        contributor,
        issue,
        metric,
        step,
    }
}

/// Every row is found and stands on its table's page.
#[both_engines]
macro_rules! all_are_read {
    ($db:ident, $what:expr, $($repository:ident $filter:ident $id:expr),* $(,)?) => {$(
        let found = $db.$repository().find($id).await;
        assert!(matches!(found, Ok(Some(_))), "{}: {found:?}", $what);
        let page = $db.$repository().list(&$filter::new(), &Page::new().with_total()).await;
        let page = page.unwrap_or_else(|error| panic!("{}: {error}", $what));
        assert!(page.items.iter().any(|row| row.id == $id), "{}", $what);
        let many = $db.$repository().find_many(&[$id]).await;
        assert!(matches!(&many.as_deref(), Ok([Some(_)])), "{}: {many:?}", $what);
    )*};
}

#[both_engines]
async fn read_all(db: &Db, rows: &Rows, more: &More, what: &str) {
    all_are_read!(
        db, what,
        users UserFilter rows.user,
        organizations OrganizationFilter rows.organization,
        projects ProjectFilter rows.project,
        analyses AnalysisFilter rows.analysis,
        analysis_results AnalysisResultFilter rows.result,
        analysis_issues AnalysisIssueFilter more.issue,
        analysis_metrics AnalysisMetricFilter more.metric,
        dependency_graphs DependencyGraphFilter rows.graph,
        duplicate_groups DuplicateGroupFilter rows.duplicate,
        setup_profiles SetupProfileFilter rows.profile,
        setup_sessions SetupSessionFilter rows.session,
        setup_steps SetupStepFilter more.step,
        tools ToolFilter rows.tool,
        configurations ConfigurationFilter rows.configuration,
        integrations IntegrationFilter rows.integration,
        user_sessions UserSessionFilter more.token,
        organization_members OrganizationMemberFilter more.member,
        project_members ProjectMemberFilter more.contributor,
    );
}

/// The columns of one kind, each as `schema.table.column` and its type.
fn columns(observer: &mut Observer, kind: &str) -> Vec<(String, String, String)> {
    let found = observer.ask(&format!(
        "SELECT pg_catalog.string_agg(n.nspname || '.' || c.relname || ' ' || a.attname || ' ' || \
         pg_catalog.format_type(t.oid, NULL), ',' ORDER BY c.relname, a.attname) \
         FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND {kind} \
         AND n.nspname IN ('public', 'analysis', 'setup', 'audit') \
         AND c.relname NOT IN ('analysis_leases', 'analysis_pins', 'analysis_removals', \
         'audit_log_seals', 'audit_log_seal_pages', 'audit_log_anonymizations')"
    ));
    let found = found.split(',').map(|line| {
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        (
            parts[0].to_owned(),
            parts[1].to_owned(),
            parts[2].to_owned(),
        )
    });
    found.collect()
}

/// Sets every column of one kind, one after the other, and reads all rows each time.
#[both_engines]
async fn each_column_is_read(kind: &str, values: &[&str], prepare: &str) {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let rows = rows(&db).await;
    let more = more(&db, &rows).await;
    // A user whose role changes would lose the session.
    observer.run("ALTER TABLE public.users DISABLE TRIGGER trg_users_end_sessions");
    // No client can change an entry. One that a newer version has written looks as if it had been.
    observer.run("ALTER TABLE audit.audit_logs DISABLE TRIGGER trg_audit_logs_append_only");
    for r#type in columns(&mut observer, kind)
        .iter()
        .map(|column| &column.2)
        .collect::<BTreeSet<_>>()
    {
        if !prepare.is_empty() {
            observer.run(&prepare.replace('@', r#type));
        }
    }
    for (table, column, _) in columns(&mut observer, kind) {
        for value in values {
            // A check may keep the value out: then there is nothing to read.
            execute(
                &db,
                &format!(
                    "DO $$BEGIN UPDATE {table} SET {column} = {value}; \
                     EXCEPTION WHEN check_violation OR invalid_parameter_value THEN NULL; END$$"
                ),
            )
            .await;
            read_all(&db, &rows, &more, &format!("{table}.{column} = {value}")).await;
        }
    }
}

#[both_engines]
#[case]
async fn any_time_that_postgresql_stores_is_read() {
    let values = [
        "'infinity'",
        "'-infinity'",
        "'294276-01-01'",
        "'4713-01-02 BC'",
    ];
    each_column_is_read("a.atttypid = 'timestamptz'::regtype", &values, "").await;
}

#[both_engines]
#[case]
async fn a_word_of_a_newer_version_keeps_no_row_from_being_read() {
    each_column_is_read(
        "t.typtype = 'e'",
        &["'newer'"],
        "ALTER TYPE @ ADD VALUE 'newer'",
    )
    .await;
    assert!(unknown_words().contains(&("user_role", "newer")));
}

#[both_engines]
#[case]
async fn infinity_is_the_bound_of_its_type_and_written_back_as_it_was() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let ada = user(&db).await;
    for (stored, read) in [
        ("infinity", DateTime::<Utc>::MAX_UTC),
        ("-infinity", DateTime::<Utc>::MIN_UTC),
    ] {
        execute(
            &db,
            &format!("UPDATE public.users SET last_login_at = '{stored}', created_at = '{stored}'"),
        )
        .await;
        for _ in 0..3 {
            let found = db.users().find(ada.id).await.unwrap().unwrap();
            assert_eq!(
                (found.last_login_at, found.created_at),
                (Some(read), read),
                "{stored}"
            );
        }
        execute(&db, "UPDATE public.users SET last_login_at = NULL").await;
        let changes = UserChanges::new().last_login_at(read);
        assert_eq!(
            db.users()
                .update(ada.id, changes)
                .await
                .unwrap()
                .last_login_at,
            Some(read)
        );
        assert_eq!(
            observer.ask("SELECT last_login_at FROM public.users"),
            stored
        );
        let json = serde_json::to_string(&db.users().find(ada.id).await.unwrap()).unwrap();
        let back: User = serde_json::from_str(&json).unwrap();
        assert_eq!(back.created_at, read);
    }
    // Pages go on behind such a row, in both directions.
    let bob = user(&db).await;
    execute(
        &db,
        &format!(
            "UPDATE public.users SET created_at = 'infinity' WHERE id = '{}'",
            bob.id
        ),
    )
    .await;
    execute(
        &db,
        &format!(
            "UPDATE public.users SET created_at = 'infinity' WHERE id = '{}'",
            ada.id
        ),
    )
    .await;
    user(&db).await;
    for order in [UserOrder::Newest, UserOrder::Oldest] {
        let (mut page, mut seen) = (Page::new().limit(1).order(order), Vec::new());
        for _ in 0..4 {
            let paged = db.users().list(&UserFilter::new(), &page).await.unwrap();
            seen.extend(paged.items.iter().map(|user| user.id));
            match paged.next {
                Some(next) => {
                    page = Page::new()
                        .limit(1)
                        .order(order)
                        .after(next.to_string().parse().unwrap())
                }
                None => break,
            }
        }
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 3, "{order:?}");
        assert_eq!(seen.len(), 3, "{order:?}");
    }
}

#[both_engines]
#[case]
async fn not_a_number_is_no_value_and_null_is_no_element() {
    let (db, _database) = database().await;
    let rows = rows(&db).await;
    let more = more(&db, &rows).await;
    execute(
        &db,
        "UPDATE analysis.analysis_metrics SET metric_value = 'NaN'",
    )
    .await;
    let metric = db
        .analysis_metrics()
        .find(more.metric)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(metric.metric_value, None);
    for (sql, expected) in [
        ("ARRAY[NULL, 'sh', NULL]", Some(vec!["sh"])),
        ("ARRAY[NULL]::text[]", Some(vec![])),
        ("'{}'", Some(vec![])),
        ("'{{a,b},{c,NULL}}'", Some(vec!["a", "b", "c"])),
        ("'[5:6]={a,b}'", Some(vec!["a", "b"])),
        ("NULL", None),
    ] {
        execute(&db, &format!("UPDATE setup.tools SET dependencies = {sql}")).await;
        let tool = db.tools().find(rows.tool).await.unwrap().unwrap();
        let expected =
            expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(tool.dependencies, expected, "{sql}");
    }
    execute(
        &db,
        "UPDATE setup.tools SET supported_platforms = ARRAY[NULL, 'linux']::setup.platform[]",
    )
    .await;
    let tool = db.tools().find(rows.tool).await.unwrap().unwrap();
    assert_eq!(tool.supported_platforms, [Platform::Linux]);
    read_all(&db, &rows, &more, "all").await;
}

#[both_engines]
#[case]
async fn writes_of_rows_with_newer_words_are_done_and_a_queue_passes_them_by() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let ada = user(&db).await;
    let (paused, typed, next) = (
        analysis(&db).await,
        analysis(&db).await,
        analysis(&db).await,
    );
    observer.run("ALTER TYPE public.user_role ADD VALUE 'auditor'");
    observer.run("ALTER TYPE analysis.analysis_type ADD VALUE 'dreams'");
    observer.run("ALTER TYPE analysis.analysis_status ADD VALUE 'paused'");
    execute(&db, "UPDATE public.users SET role = 'auditor'").await;
    execute(
        &db,
        &format!(
            "UPDATE analysis.analyses SET status = 'paused' WHERE id = '{}'",
            paused.id
        ),
    )
    .await;
    execute(
        &db,
        &format!(
            "UPDATE analysis.analyses SET type = 'dreams' WHERE id = '{}'",
            typed.id
        ),
    )
    .await;

    // What is answered is what was written.
    let off = db.users().set_active(ada.id, false).await.unwrap();
    assert_eq!((off.is_active, off.role.as_str()), (false, "auditor"));
    let renamed = db
        .users()
        .update(ada.id, UserChanges::new().name("Eve"))
        .await
        .unwrap();
    assert_eq!(renamed.name, "Eve");
    assert_eq!(
        observer.ask(&format!(
            "SELECT role FROM public.users WHERE id = '{}'",
            ada.id
        )),
        "auditor"
    );
    let claim = db
        .analyses()
        .claim(AnalysisType::ALL, "w", std::time::Duration::from_secs(60))
        .await;
    assert_eq!(claim.unwrap().unwrap().analysis.id, next.id);
    let none = db
        .analyses()
        .claim(AnalysisType::ALL, "w", std::time::Duration::from_secs(60))
        .await;
    assert!(none.unwrap().is_none());
    let started = db.analyses().start(typed.id).await.unwrap();
    assert_eq!(
        (started.r#type.as_str(), started.status),
        ("dreams", AnalysisStatus::Running)
    );
    assert!(matches!(
        db.analyses().start(paused.id).await,
        Err(Error::IllegalTransition { from, .. }) if from == "paused"
    ));
    assert_eq!(
        db.analyses().cancel(typed.id).await.unwrap().status,
        AnalysisStatus::Cancelled
    );
    assert!(db.analyses().delete(typed.id).await.unwrap());
    assert_eq!(
        db.analyses()
            .delete_many(&AnalysisFilter::new())
            .await
            .unwrap(),
        2
    );
    // From outside, such a word is refused.
    assert!(serde_json::from_str::<UserRole>(r#""auditor""#).is_err());
    assert!("auditor".parse::<UserRole>().is_err());
}

#[both_engines]
#[case]
async fn what_does_not_need_a_row_does_not_decode_it() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let rows = rows(&db).await;
    for (table, column) in [
        ("analysis.analyses", "configuration"),
        ("setup.configurations", "value"),
        ("setup.tools", "name"),
        ("setup.setup_profiles", "name"),
    ] {
        observer.run(&format!(
            "ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL; UPDATE {table} SET {column} = NULL"
        ));
    }
    assert!(matches!(
        db.analyses().find(rows.analysis).await,
        Err(Error::Decode { what, id, column, .. })
            if what == "analysis.analyses" && id == Some(*rows.analysis.as_uuid())
                && column.as_deref() == Some("configuration")
    ));
    let second = analysis(&db).await;
    observer.run("UPDATE analysis.analyses SET configuration = NULL");
    assert!(db.analyses().delete(rows.analysis).await.unwrap());
    assert!(!db.analyses().delete(rows.analysis).await.unwrap());
    let all = AnalysisFilter::new();
    assert_eq!(db.analyses().delete_many(&all).await.unwrap(), 1);
    assert!(!db.analyses().exists(second.id).await.unwrap());
    assert!(
        db.configurations()
            .delete(rows.configuration)
            .await
            .unwrap()
    );
    execute(&db, "DELETE FROM setup.setup_sessions").await;
    let all = ToolFilter::new();
    assert_eq!(db.tools().delete_many(&all).await.unwrap(), 1);
    assert!(db.setup_profiles().delete(rows.profile).await.unwrap());
}

#[both_engines]
#[case]
async fn a_queue_passes_by_what_cannot_be_decoded() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let soon = std::time::Duration::from_secs(60);
    let (left, kept) = (analysis(&db).await, analysis(&db).await);
    for id in [left.id, kept.id] {
        let claim = db.analyses().claim(AnalysisType::ALL, "w", soon).await;
        assert_eq!(claim.unwrap().unwrap().analysis.id, id);
    }
    let (bad, good) = (analysis(&db).await, analysis(&db).await);
    observer.run("ALTER TABLE analysis.analyses ALTER COLUMN configuration DROP NOT NULL");
    observer.run(&format!(
        "UPDATE analysis.analyses SET configuration = NULL WHERE id IN ('{}', '{}')",
        left.id, bad.id
    ));
    let claim = db.analyses().claim(AnalysisType::ALL, "w", soon).await;
    assert_eq!(claim.unwrap().unwrap().analysis.id, good.id);
    let claim = db.analyses().claim(AnalysisType::ALL, "w", soon).await;
    assert!(claim.unwrap().is_none());

    observer.run(
        "UPDATE analysis.analysis_leases SET expires_at = pg_catalog.now() - interval '1 hour'",
    );
    let requeued = db.analyses().requeue_abandoned(3).await.unwrap();
    let requeued = requeued.iter().map(|claim| claim.analysis.id);
    assert_eq!(requeued.collect::<Vec<_>>(), [kept.id, good.id]);
    let state = format!(
        "SELECT status FROM analysis.analyses WHERE id = '{}'",
        left.id
    );
    assert_eq!(observer.ask(&state), "running");
}

#[both_engines]
#[case]
async fn pages_go_on_past_times_that_are_later_than_chronos() {
    let (db, _database) = database().await;
    let mut ids = Vec::new();
    // The ids rise, so that they order the rows otherwise than the times do.
    for time in [
        "infinity",
        "294276-01-01",
        "262142-12-31 23:59:59.999999+00",
        "270000-01-01",
        "-infinity",
        "infinity",
        "2024-01-01",
        "263000-01-01",
    ] {
        let id = user(&db).await.id;
        ids.push(id);
        execute(
            &db,
            &format!("UPDATE public.users SET created_at = '{time}' WHERE id = '{id}'"),
        )
        .await;
    }
    let newest = [5, 0, 1, 3, 7, 2, 6, 4].map(|index: usize| ids[index]);
    let oldest: Vec<_> = newest.iter().rev().copied().collect();
    let filter = UserFilter::new();
    for limit in [1, 2, 3] {
        for (order, expected) in [
            (UserOrder::Newest, &newest[..]),
            (UserOrder::Oldest, &oldest[..]),
        ] {
            let (mut found, mut page) = (Vec::new(), Page::new().order(order).limit(limit));
            loop {
                let rows = db.users().list(&filter, &page).await.unwrap();
                found.extend(rows.items.iter().map(|user| user.id));
                match rows.next {
                    Some(next) if found.len() <= ids.len() => {
                        page = Page::new().order(order).limit(limit).after(next);
                    }
                    _ => break,
                }
            }
            assert_eq!(found, expected, "{order:?}, {limit} at a time");
            let last = db.users().find(expected[7]).await.unwrap().unwrap();
            let page = Page::new()
                .order(order)
                .limit(7)
                .before(order.cursor_of(&last));
            let rows = db.users().list(&filter, &page).await.unwrap();
            let found: Vec<_> = rows.items.iter().map(|user| user.id).collect();
            assert_eq!(found, expected[..7], "{order:?}, backward");
        }
    }
}

#[both_engines]
#[case]
async fn a_number_of_many_digits_costs_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (db, _database) = database().await;
    let rows = rows(&db).await;
    let began = std::time::Instant::now();
    let of = |key: &str| {
        let json = format!(
            r#"["duplicate_groups.similarity_percentage","{key}","{}"]"#,
            rows.analysis
        );
        URL_SAFE_NO_PAD.encode(json)
    };
    let order = DuplicateGroupOrder::MostSimilar;
    for number in [
        "1e131000",
        "-1e131000",
        "1e-16000",
        "1e999999999",
        "1E-999999999999999999",
    ] {
        let cursor: Cursor = of(number).parse().unwrap();
        let page = Page::new().order(order).after(cursor);
        let refused = db
            .duplicate_groups()
            .list(&DuplicateGroupFilter::new(), &page)
            .await;
        assert_eq!(field_of(refused.unwrap_err()), "cursor", "{number}");
        let Ok(number) = number.parse::<bigdecimal::BigDecimal>() else {
            continue;
        };
        let is_positive = number.sign() == bigdecimal::num_bigint::Sign::Plus;
        let is_huge = number.fractional_digit_count() < 0;
        let filter = DuplicateGroupFilter::new().similarity_at_least(number.clone());
        let found = db.duplicate_groups().count(&filter).await.unwrap();
        assert_eq!(found, u64::from(!(is_positive && is_huge)), "{number:?}");
        let new = NewAnalysisMetric::new(rows.analysis, "m", MetricCategory::Quality);
        let refused = db.analysis_metrics().create(new.metric_value(number)).await;
        assert_eq!(field_of(refused.unwrap_err()), "metric_value");
    }
    assert!("a".repeat(5_000).parse::<Cursor>().is_err());
    let cursor: Cursor = of("50").parse().unwrap();
    let page = Page::new().order(order).before(cursor);
    let found = db
        .duplicate_groups()
        .list(&DuplicateGroupFilter::new(), &page)
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1);
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

/// A cursor comes from outside: what no row has is refused before the server sees it.
#[both_engines]
#[case]
async fn a_cursor_with_a_value_that_no_row_has_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let too_early = chrono::DateTime::<chrono::Utc>::MIN_UTC + chrono::TimeDelta::days(1);
    for (order, column, key) in [
        (UserOrder::Name, "name", r#""a\u0000b""#.to_owned()),
        (
            UserOrder::Newest,
            "created_at",
            too_early.timestamp_micros().to_string(),
        ),
        (UserOrder::Newest, "created_at", i64::MIN.to_string()),
        (UserOrder::Newest, "created_at", i64::MAX.to_string()),
    ] {
        let json = format!(r#"["users.{column}",{key},"{ada}"]"#);
        let cursor: Cursor = URL_SAFE_NO_PAD.encode(json).parse().unwrap();
        for page in [
            Page::new().after(cursor.clone()),
            Page::new().before(cursor),
        ] {
            let refused = db
                .users()
                .list(&UserFilter::new(), &page.order(order))
                .await;
            assert_eq!(field_of(refused.unwrap_err()), "cursor", "{key}");
        }
    }
}

/// PostgreSQL has no time between `-infinity` and 4713 BC.
#[both_engines]
#[case]
async fn a_time_that_the_server_does_not_have_is_named_or_no_bound() {
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let first = DateTime::<Utc>::MIN_UTC;
    for time in [first, first + chrono::TimeDelta::days(1)] {
        let filter = UserFilter::new().created_from(time);
        assert_eq!(db.users().count(&filter).await.unwrap(), 1);
        let filter = UserFilter::new().created_before(time);
        assert_eq!(db.users().count(&filter).await.unwrap(), 0);
    }
    let too_early = first + chrono::TimeDelta::days(1);
    let changes = UserChanges::new().last_login_at(too_early);
    let refused = db.users().update(ada, changes).await;
    assert_eq!(field_of(refused.unwrap_err()), "last_login_at");
    let changes = UserChanges::new().name("a").unchanged_since(too_early);
    let refused = db.users().update(ada, changes).await;
    assert!(
        matches!(refused, Err(Error::StaleWrite { .. })),
        "{refused:?}"
    );
    let new = NewUserSession::new(ada, "a", too_early);
    let refused = db.user_sessions().create(new).await;
    assert_eq!(field_of(refused.unwrap_err()), "expires_at");
}
