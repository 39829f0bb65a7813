use super::*;
use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta, Utc};
use wundr_db::{MetricCategory, NewAnalysisMetric, TrendDirection};

/// A completed analysis that ended so many days ago, with values of metrics.
#[both_engines]
async fn measured(db: &Db, project: ProjectId, ended: DateTime<Utc>, values: &[(&str, i32)]) {
    let new = new_analysis(db, project).await;
    let new = new.completed(ended - TimeDelta::seconds(5), ended);
    let analysis = db.analyses().create(new).await.unwrap();
    let metrics: Vec<_> = values
        .iter()
        .map(|(name, value)| {
            NewAnalysisMetric::new(analysis.id, *name, MetricCategory::Quality).metric_value(*value)
        })
        .collect();
    db.analysis_metrics().create_many(&metrics).await.unwrap();
}

#[both_engines]
#[case]
async fn a_metric_is_followed_from_day_to_day() {
    let (db, _database) = database().await;
    let (project, other) = (project(&db).await.id, project(&db).await.id);
    // Noon of a day, so that no two of one day fall on both sides of midnight.
    let noon = Utc::now().date_naive().and_hms_opt(12, 0, 0).unwrap();
    let ago = |days| noon.and_utc() - TimeDelta::days(days);
    measured(&db, project, ago(5), &[("a", 10)]).await;
    measured(&db, project, ago(4), &[("a", 20), ("b", 7)]).await;
    measured(&db, project, ago(4), &[("a", 21)]).await;
    measured(&db, project, ago(2), &[("a", 20)]).await;
    measured(&db, project, ago(1), &[("a", 20), ("b", 6)]).await;
    measured(&db, project, ago(40), &[("a", 99)]).await;
    measured(&db, other, ago(1), &[("a", 1)]).await;

    let points = db.trends().of_metric(project, "a", 30).await.unwrap();
    let days: Vec<_> = points
        .iter()
        .map(|point| (point.date, point.average.clone(), point.direction))
        .collect();
    let number = |text: &str| text.parse::<BigDecimal>().unwrap();
    assert_eq!(
        days,
        [
            (ago(5).date_naive(), number("10"), TrendDirection::Stable),
            (
                ago(4).date_naive(),
                number("20.5"),
                TrendDirection::Improving
            ),
            (ago(2).date_naive(), number("20"), TrendDirection::Declining),
            (ago(1).date_naive(), number("20"), TrendDirection::Stable),
        ]
    );
    let several = db
        .trends()
        .of_metrics(project, &["none", "b", "a"], 30)
        .await
        .unwrap();
    assert_eq!(several[0], []);
    assert_eq!(several[1].len(), 2);
    assert_eq!(several[1][1].direction, TrendDirection::Declining);
    assert_eq!(several[2], points);
    let none = db.trends().of_metric(project, "a", -1).await.unwrap();
    assert_eq!(none, []);
    let nowhere = ProjectId::new();
    let none = db.trends().of_metric(nowhere, "a", 30).await.unwrap();
    assert_eq!(none, []);
}
