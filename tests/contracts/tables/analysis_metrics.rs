use super::*;
use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use wundr_db::{
    AnalysisId, AnalysisMetricChanges, AnalysisMetricFilter, AnalysisMetricOrder, Change,
    MetricCategory, NewAnalysisMetric, Page, TrendDirection,
};

fn metric(analysis_id: AnalysisId, name: &str, value: &str) -> NewAnalysisMetric {
    NewAnalysisMetric::new(analysis_id, name, MetricCategory::Quality).metric_value(number(value))
}

fn number(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (metrics, analysis) = (db.analysis_metrics(), analysis(&db).await);
    let new = metric(analysis.id, "coverage", "81.25")
        .metric_unit("%")
        .trend_direction(TrendDirection::Improving);
    let row = metrics.create(new).await.unwrap();

    assert_eq!(row.metric_value, Some(number("81.2500")));
    assert_eq!(metrics.find(row.id).await.unwrap(), Some(row.clone()));
    let (all, page) = (AnalysisMetricFilter::new(), Page::new().with_total());
    let page = metrics.list(&all, &page).await.unwrap();
    assert_eq!(page.items[0], row);
    let changes = AnalysisMetricChanges::new()
        .metric_value(Change::Clear)
        .category(MetricCategory::Coverage);
    let changed = metrics.update(row.id, changes).await.unwrap();
    assert_eq!(
        (changed.metric_value, changed.category),
        (None, MetricCategory::Coverage)
    );
    assert_eq!(changed.trend_direction, Some(TrendDirection::Improving));
    assert!(metrics.delete(row.id).await.unwrap());
    assert_eq!(metrics.find(row.id).await.unwrap(), None);
}

#[both_engines]
#[case]
async fn a_number_that_does_not_fit_names_its_column() {
    let (db, _database) = database().await;
    let (metrics, analysis) = (db.analysis_metrics(), analysis(&db).await);
    for wrong in [
        "100000000",
        "-100000000",
        "99999999.99995",
        "1e1000000000",
        "1e-1000000000",
    ] {
        let refusal = metrics.create(metric(analysis.id, "m", wrong)).await;
        assert_eq!(field_of(refusal.unwrap_err()), "metric_value", "{wrong}");
    }
    let mut row = None;
    for (value, stored) in [
        ("99999999.99994", "99999999.9999"),
        ("-99999999.9999", "-99999999.9999"),
        ("0.00005", "0.0001"),
        ("-0.00005", "-0.0001"),
        ("0.00004999", "0"),
        ("1e7", "10000000"),
        ("0e20", "0"),
    ] {
        let created = metrics.create(metric(analysis.id, "m", value)).await;
        let created = created.unwrap();
        assert_eq!(created.metric_value, Some(number(stored)), "{value}");
        row = Some(created);
    }
    let changes = AnalysisMetricChanges::new().metric_value(number("1e8"));
    let refusal = metrics.update(row.unwrap().id, changes).await;
    assert_eq!(field_of(refusal.unwrap_err()), "metric_value");
}

#[both_engines]
#[case]
async fn any_number_of_rows_is_created_with_numbers_and_without() {
    let (db, _database) = database().await;
    let (metrics, analysis) = (db.analysis_metrics(), analysis(&db).await);
    let many: Vec<_> = (0..25_000)
        .map(|n| {
            let name = format!("m{n:05}");
            if n % 2 == 0 {
                NewAnalysisMetric::new(analysis.id, name, MetricCategory::Coverage)
            } else {
                metric(analysis.id, &name, &format!("-{n}.5"))
                    .trend_direction(TrendDirection::Declining)
            }
        })
        .collect();

    assert_eq!(metrics.create_many(&many).await.unwrap(), 25_000);
    let ids = [AnalysisId::new(), analysis.id];
    let of_analysis = metrics.of_analyses(&ids).await.unwrap();
    assert_eq!((of_analysis[0].len(), of_analysis[1].len()), (0, 25_000));
    let (even, odd) = (&of_analysis[1][0], &of_analysis[1][24_999]);
    assert_eq!((&even.metric_value, even.trend_direction), (&None, None));
    assert_eq!(
        (&odd.metric_value, odd.trend_direction),
        (&Some(number("-24999.5")), Some(TrendDirection::Declining))
    );
    let coverage = AnalysisMetricFilter::new()
        .analysis_id(analysis.id)
        .category(MetricCategory::Coverage);
    assert_eq!(metrics.count(&coverage).await.unwrap(), 12_500);
    let page = Page::new().limit(1).order(AnalysisMetricOrder::Name);
    let listed = metrics.list(&coverage, &page).await.unwrap();
    assert_eq!(listed.items[0].metric_name, "m00000");
    let one = AnalysisMetricFilter::new().metric_name("m00001");
    assert_eq!(metrics.delete_many(&one).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn the_latest_values_are_those_of_completed_analyses() {
    let (db, _database) = database().await;
    let (metrics, project) = (db.analysis_metrics(), project(&db).await.id);
    let other = new_analysis(&db, self::project(&db).await.id).await;
    for (day, values) in [
        (1, vec![("a", "1"), ("b", "1")]),
        (2, vec![("a", "2")]),
        (3, vec![("a", "3"), ("b", "3")]),
    ] {
        let then: DateTime<Utc> = format!("2024-01-0{day}T00:00:00Z").parse().unwrap();
        let new = new_analysis(&db, project).await.created_at(then);
        // The third has not ended, and of what it says nothing counts.
        let new = if day < 3 {
            new.completed(then, then)
        } else {
            new
        };
        let analysis = db.analyses().create(new).await.unwrap();
        for (name, value) in values {
            let new = metric(analysis.id, name, value);
            metrics.create(new).await.unwrap();
        }
    }
    let other = db.analyses().create(other).await.unwrap();
    metrics.create(metric(other.id, "c", "9")).await.unwrap();

    let latest = metrics.latest_of_project(project, &["c", "b", "a", "b"]);
    let values: Vec<_> = latest
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.and_then(|row| row.metric_value))
        .collect();
    let (one, two) = (Some(number("1")), Some(number("2")));
    assert_eq!(values, [None, one.clone(), two, one]);
}
