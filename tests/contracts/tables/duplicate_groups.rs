use super::*;
use bigdecimal::BigDecimal;
use serde_json::json;
use wundr_db::{
    AnalysisId, DuplicateFile, DuplicateGroupChanges, DuplicateGroupFilter, DuplicateGroupOrder,
    Json, NewDuplicateGroup, Page,
};

fn group(analysis_id: AnalysisId, hash: &str, similarity: &str) -> NewDuplicateGroup {
    let files = vec![
        DuplicateFile::new("src/a.rs", 1, 9),
        DuplicateFile::new("src/b.rs", 11, 19),
    ];
    NewDuplicateGroup::new(analysis_id, hash, number(similarity), 9, files)
}

fn number(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (groups, analysis) = (db.duplicate_groups(), analysis(&db).await);
    let row = groups
        .create(group(analysis.id, "e3b0", "99.5"))
        .await
        .unwrap();

    assert_eq!(row.similarity_percentage, number("99.50"));
    assert_eq!(row.files.typed().unwrap()[1].start_line, 11);
    assert_eq!(
        row.files.to_value().unwrap()[0],
        json!({"path": "src/a.rs", "startLine": 1, "endLine": 9})
    );
    assert_eq!(groups.find(row.id).await.unwrap(), Some(row.clone()));
    let raw = Json::Raw(json!({"files": []}).into());
    let changes = DuplicateGroupChanges::new()
        .files(raw.clone())
        .similarity_percentage(50);
    let changed = groups.update(row.id, changes).await.unwrap();
    assert_eq!(
        (changed.files, changed.similarity_percentage),
        (raw, number("50"))
    );
    assert!(groups.delete(row.id).await.unwrap());
    assert!(!groups.exists(row.id).await.unwrap());
}

#[both_engines]
#[case]
async fn a_similarity_is_a_percentage() {
    let (db, _database) = database().await;
    let (groups, analysis) = (db.duplicate_groups(), analysis(&db).await);
    for wrong in ["1000", "999.995", "-1000"] {
        let refusal = groups.create(group(analysis.id, "h", wrong)).await;
        let field = field_of(refusal.unwrap_err());
        assert_eq!(field, "similarity_percentage", "{wrong}");
    }
    for wrong in ["100.01", "-0.01"] {
        let refusal = groups.create(group(analysis.id, "h", wrong)).await;
        assert!(matches!(refusal, Err(Error::Check(_))), "{wrong}");
    }
    let rounded = groups.create(group(analysis.id, "h", "100.0049")).await;
    assert_eq!(rounded.unwrap().similarity_percentage, number("100"));
}

#[both_engines]
#[case]
async fn the_most_similar_come_first_on_every_page() {
    let (db, _database) = database().await;
    let (groups, analysis) = (db.duplicate_groups(), analysis(&db).await);
    let many: Vec<_> = ["9.5", "100", "87.25", "87.26", "9.50", "0"]
        .into_iter()
        .map(|similarity| group(analysis.id, similarity, similarity))
        .collect();
    assert_eq!(groups.create_many(&many).await.unwrap(), 6);

    let filter = DuplicateGroupFilter::new().analysis_id(analysis.id);
    let (mut similarities, mut page) = (Vec::new(), Page::new().limit(2));
    loop {
        let listed = groups.list(&filter, &page).await.unwrap();
        similarities.extend(
            listed
                .items
                .into_iter()
                .map(|group| group.similarity_percentage),
        );
        match listed.next {
            Some(next) => {
                let next = next.to_string().parse().unwrap();
                page = Page::new().limit(2).after(next);
            }
            None => break,
        }
    }
    assert_eq!(
        similarities,
        ["100", "87.26", "87.25", "9.5", "9.5", "0"].map(number)
    );
    let alike = filter.clone().similarity_at_least(number("87.255"));
    assert_eq!(groups.count(&alike).await.unwrap(), 2);
    assert_eq!(groups.find_by_hash("9.50").await.unwrap().len(), 1);
    let same = DuplicateGroupFilter::new().hash("0");
    assert_eq!(groups.delete_many(&same).await.unwrap(), 1);
    let longest = Page::new().order(DuplicateGroupOrder::Longest);
    assert_eq!(groups.list(&filter, &longest).await.unwrap().items.len(), 5);
}
