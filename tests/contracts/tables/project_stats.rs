use super::*;
use std::iter;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde_json::json;
use wundr_db::{
    AnalysisSummary, Json, OrganizationId, Page, ProjectStatsFilter, ProjectStatsOrder,
};

#[both_engines]
#[case]
async fn a_project_is_counted() {
    let (db, _database) = database().await;
    let (stats, project) = (db.project_stats(), project(&db).await.id);
    let empty = stats.find(project).await.unwrap().unwrap();
    assert_eq!(
        (
            empty.total_analyses,
            empty.member_count,
            empty.name.as_str()
        ),
        (0, 0, "Flask")
    );
    assert_eq!(
        (empty.avg_quality_score, empty.last_analysis_at),
        (None, None)
    );

    let then: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    for summary in [
        AnalysisSummary::scored(90.0).into(),
        Json::Raw(json!({"overallScore": "80.5"}).into()),
        Json::Raw(json!({"overallScore": "n/a"}).into()),
    ] {
        let new = new_analysis(&db, project).await.completed(then, then);
        db.analyses().create(new.summary(summary)).await.unwrap();
    }
    let pending = new_analysis(&db, project).await;
    db.analyses().create(pending).await.unwrap();
    for _ in 0..2 {
        let member = user(&db).await.id;
        let sql = format!(
            "INSERT INTO public.project_members (project_id, user_id, role) VALUES ('{project}', '{member}', 'viewer')"
        );
        execute(&db, &sql).await;
    }

    let counted = stats.find(project).await.unwrap().unwrap();
    assert_eq!(
        (
            counted.total_analyses,
            counted.completed_analyses,
            counted.member_count
        ),
        (4, 3, 2)
    );
    assert_eq!(counted.last_analysis_at, Some(then));
    assert_eq!(
        counted.avg_quality_score,
        Some("85.25".parse::<BigDecimal>().unwrap())
    );
    let nothing = ProjectId::new();
    assert_eq!(
        stats.find_many(&[nothing, project]).await.unwrap(),
        [None, Some(counted)]
    );
}

#[both_engines]
#[case]
async fn active_projects_are_listed() {
    let (db, _database) = database().await;
    let stats = db.project_stats();
    let organization = OrganizationId::new();
    let sql = format!(
        "INSERT INTO public.organizations (id, name, slug) VALUES ('{organization}', 'Lab', 'lab')"
    );
    execute(&db, &sql).await;
    for (name, status) in [
        ("beta", "active"),
        ("alpha", "active"),
        ("gone", "archived"),
    ] {
        let id = project(&db).await.id;
        let sql = format!(
            "UPDATE public.projects SET name = '{name}', status = '{status}', organization_id = '{organization}' \
             WHERE id = '{id}'"
        );
        execute(&db, &sql).await;
    }
    let busy = project(&db).await.id;
    let new = new_analysis(&db, busy).await;
    db.analyses().create(new).await.unwrap();

    let of_lab = ProjectStatsFilter::new().organization_id(organization);
    let listed = stats
        .list(&of_lab, &Page::new().limit(1).with_total())
        .await
        .unwrap();
    assert_eq!(
        (listed.items[0].name.as_str(), listed.total),
        ("alpha", Some(2))
    );
    let next = Page::new().limit(1).after(listed.next.unwrap());
    let next = stats.list(&of_lab, &next).await.unwrap();
    assert_eq!(
        (next.items[0].name.as_str(), next.next.is_none()),
        ("beta", true)
    );
    let busiest = Page::new().order(ProjectStatsOrder::MostAnalyses);
    let all = ProjectStatsFilter::new();
    let busiest = stats.list(&all, &busiest).await.unwrap();
    assert_eq!(busiest.items[0].id, busy);
    let search = ProjectStatsFilter::new().search("ALPH");
    assert_eq!(stats.count(&search).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn many_projects_have_the_numbers_that_each_has_alone() {
    let (db, _database) = database().await;
    let stats = db.project_stats();
    let then: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    let mut ids = Vec::new();
    for scores in [
        vec![],
        vec![json!(10), json!(20.5)],
        vec![json!("7"), json!(" -1e2 "), json!(".5")],
        vec![json!("NaN"), json!("Infinity"), json!("1e9999"), json!("")],
        vec![json!(null), json!(true), json!([1]), json!({"a": 1})],
    ] {
        let id = project(&db).await.id;
        for score in scores {
            let summary = Json::Raw(json!({ "overallScore": score }).into());
            let new = new_analysis(&db, id).await.completed(then, then);
            db.analyses().create(new.summary(summary)).await.unwrap();
        }
        let pending = new_analysis(&db, id).await;
        db.analyses().create(pending).await.unwrap();
        let member = user(&db).await.id;
        let sql = format!(
            "INSERT INTO public.project_members (project_id, user_id, role) VALUES ('{id}', '{member}', 'viewer')"
        );
        execute(&db, &sql).await;
        ids.push(id);
    }
    let archived = project(&db).await.id;
    let sql = format!("UPDATE public.projects SET status = 'archived' WHERE id = '{archived}'");
    execute(&db, &sql).await;
    ids.extend([archived, project(&db).await.id, ids[1]]);

    let many = stats.find_many(&ids).await.unwrap();
    assert_eq!(many.len(), ids.len());
    for (&id, of_many) in ids.iter().zip(&many) {
        assert_eq!(of_many, &stats.find(id).await.unwrap());
        assert_eq!(of_many.is_none(), id == archived);
    }
    let absent = || iter::repeat_with(ProjectId::new).take(100);
    let more: Vec<_> = absent().chain(ids).chain(absent()).collect();
    let of_more = stats.find_many(&more).await.unwrap();
    let (before, of_more) = of_more.split_at(100);
    let (of_ids, behind) = of_more.split_at(many.len());
    assert_eq!(of_ids, many);
    assert!(before.iter().chain(behind).all(Option::is_none));
}
