use super::*;
use serde_json::{Map, json};
use wundr_db::{
    AnalysisResultChanges, AnalysisResultFilter, AnalysisResultId, AnalysisResultOrder, Json,
    NewAnalysisResult, Page,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (results, analysis) = (db.analysis_results(), analysis(&db).await);
    let plain = NewAnalysisResult::new(analysis.id, "src/a.rs");
    let plain = results.create(plain).await.unwrap();

    assert_eq!(plain.metrics, Json::from(Map::new()));
    assert_eq!(plain.issues, Json::Typed(vec![]));
    assert_eq!(plain.dependencies, Json::Typed(vec![]));
    let metrics = Map::from_iter([("lines".to_owned(), json!(12))]);
    let full = NewAnalysisResult::new(analysis.id, "src/b.rs")
        .file_hash("e3b0")
        .metrics(metrics.clone())
        .issues(vec![json!({"line": 1})])
        .dependencies(vec!["src/a.rs".to_owned()]);
    let full = results.create(full).await.unwrap();
    assert_eq!(full.metrics, Json::from(metrics));
    assert_eq!(
        full.dependencies.typed().unwrap()[..],
        ["src/a.rs".to_owned()]
    );
    assert_eq!(results.find(full.id).await.unwrap(), Some(full.clone()));
    let nothing = AnalysisResultId::new();
    assert_eq!(
        results.find_many(&[nothing, plain.id]).await.unwrap(),
        [None, Some(plain.clone())]
    );
    let raw = Json::Raw(json!({"internal": ["src/a.rs"]}).into());
    let changes = AnalysisResultChanges::new()
        .dependencies(raw.clone())
        .file_hash(None);
    let changed = results.update(full.id, changes).await.unwrap();
    assert_eq!((changed.dependencies, changed.file_hash), (raw, None));
    let zero = NewAnalysisResult::new(analysis.id, "c").issues(vec![json!("\0")]);
    assert_eq!(field_of(results.create(zero).await.unwrap_err()), "issues");
}

#[both_engines]
#[case]
async fn any_number_of_rows_is_created_with_documents_and_without() {
    let (db, _database) = database().await;
    let (results, analysis) = (db.analysis_results(), analysis(&db).await);
    let many: Vec<_> = (0..25_000)
        .map(|n| {
            let new = NewAnalysisResult::new(analysis.id, format!("src/{n:05}.rs"));
            if n % 2 == 0 {
                new
            } else {
                new.metrics(Map::from_iter([("n".to_owned(), json!(n))]))
                    .dependencies(vec!["é\"\\{},".to_owned()])
                    .file_hash("abc")
            }
        })
        .collect();

    assert_eq!(results.create_many(&many).await.unwrap(), 25_000);
    let first = results.find(many[0].id).await.unwrap().unwrap();
    assert_eq!((first.metrics, first.file_hash), (Map::new().into(), None));
    let last = results.find(many[24_999].id).await.unwrap().unwrap();
    assert_eq!(last.metrics.to_value().unwrap(), json!({"n": 24_999}));
    assert_eq!(last.dependencies.to_value().unwrap(), json!(["é\"\\{},"]));
    assert_eq!(last.issues.to_value().unwrap(), json!([]));
}

#[both_engines]
#[case]
async fn files_are_found_by_path_by_folder_and_by_content() {
    let (db, _database) = database().await;
    let (results, first, second) = (
        db.analysis_results(),
        analysis(&db).await,
        analysis(&db).await,
    );
    for analysis_id in [first.id, second.id] {
        for path in ["lib/x.rs", "src/b_.rs", "src/a.rs"] {
            let new = NewAnalysisResult::new(analysis_id, path).file_hash(path.len().to_string());
            results.create(new).await.unwrap();
        }
    }
    let filter = || AnalysisResultFilter::new().analysis_id(first.id);

    let by_file = Page::new().order(AnalysisResultOrder::File);
    let folder = filter().file_path_prefix("src/");
    let paths: Vec<_> = results
        .list(&folder, &by_file)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|row| row.file_path)
        .collect();
    assert_eq!(paths, ["src/a.rs", "src/b_.rs"]);
    for (filter, count) in [
        (filter(), 3),
        (filter().file_path("src/a.rs"), 1),
        (filter().file_path_prefix("src/_"), 0),
        (filter().file_hash("8"), 2),
        (AnalysisResultFilter::new().file_path("src/a.rs"), 2),
    ] {
        assert_eq!(results.count(&filter).await.unwrap(), count, "{filter:?}");
    }
    assert_eq!(results.delete_many(&filter()).await.unwrap(), 3);
    assert_eq!(
        results.count(&AnalysisResultFilter::new()).await.unwrap(),
        3
    );
}
