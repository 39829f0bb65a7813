use super::*;
use serde_json::json;
use wundr_db::{
    AnalysisId, DependencyGraphChanges, DependencyGraphFilter, DependencyGraphId, Document,
    NewDependencyGraph, Page,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (graphs, analysis) = (db.dependency_graphs(), analysis(&db).await);
    let data = Document::from(json!({"nodes": ["a", "b"], "edges": [["a", "b"]]}));
    let new = NewDependencyGraph::new(analysis.project_id, data.clone()).analysis_id(analysis.id);
    let row = graphs.create(new).await.unwrap();

    assert_eq!((&row.graph_data, &row.metadata), (&data, &json!({}).into()));
    assert_eq!(graphs.find(row.id).await.unwrap(), Some(row.clone()));
    let changes = DependencyGraphChanges::new().metadata(json!({"tool": "grimp"}));
    let changed = graphs.update(row.id, changes).await.unwrap();
    assert_eq!(
        (changed.metadata, changed.graph_data),
        (json!({"tool": "grimp"}).into(), data)
    );
    let orphan = NewDependencyGraph::new(ProjectId::new(), json!({}));
    assert!(matches!(
        graphs.create(orphan).await,
        Err(Error::MissingReference(_))
    ));
    db.analyses().delete(analysis.id).await.unwrap();
    let kept = graphs.find(row.id).await.unwrap().unwrap();
    assert_eq!(kept.analysis_id, None, "a graph outlives its analysis");
}

#[both_engines]
#[case]
async fn the_latest_graph_is_the_one_that_was_made_last() {
    let (db, _database) = database().await;
    let (graphs, analysis) = (db.dependency_graphs(), analysis(&db).await);
    let project_id = analysis.project_id;
    let many: Vec<_> = (1..=3)
        .map(|day| {
            let then = format!("2024-01-0{}T00:00:00Z", 4 - day);
            let new = NewDependencyGraph::new(project_id, json!({"day": 4 - day}))
                .created_at(then.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
            if day == 3 {
                new
            } else {
                new.analysis_id(analysis.id)
            }
        })
        .collect();
    assert_eq!(graphs.create_many(&many).await.unwrap(), 3);

    let latest = graphs.latest(project_id).await.unwrap().unwrap();
    assert_eq!(latest.graph_data, json!({"day": 3}));
    assert_eq!(graphs.latest(ProjectId::new()).await.unwrap(), None);
    let of_analysis = graphs.of_analysis(analysis.id).await.unwrap();
    let ids: Vec<_> = of_analysis.iter().map(|graph| graph.id).collect();
    assert_eq!(ids, [many[0].id, many[1].id]);
    assert_eq!(graphs.of_analysis(AnalysisId::new()).await.unwrap(), []);
    let nothing = DependencyGraphId::new();
    let found = graphs.find_many(&[ids[1], nothing]).await.unwrap();
    assert_eq!(found, [Some(of_analysis[1].clone()), None]);

    let of_project = DependencyGraphFilter::new().project_id(project_id);
    let page = Page::new().limit(2).with_total();
    let listed = graphs.list(&of_project, &page).await.unwrap();
    assert_eq!((listed.items.len(), listed.total), (2, Some(3)));
    let made = of_project.analysis_id(analysis.id);
    assert_eq!(graphs.count(&made).await.unwrap(), 2);
    assert_eq!(graphs.delete_many(&made).await.unwrap(), 2);
    assert!(graphs.delete(many[2].id).await.unwrap());
    assert!(!graphs.exists(many[2].id).await.unwrap());
}
