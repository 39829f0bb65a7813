use super::*;

use std::collections::BTreeSet;

use admin::LeanReason;
use wundr_db::testing::migrated_database;
use wundr_db::{NewProject, NewUser};

fn names(indexes: &[admin::LeanIndex]) -> BTreeSet<&str> {
    indexes.iter().map(|index| index.index.as_str()).collect()
}

/// The definitions of all indexes, by name.
fn definitions(observer: &mut Observer) -> String {
    observer.ask(
        "SELECT string_agg(indexrelid::regclass || ' ' || pg_get_indexdef(indexrelid), E'\\n' \
             ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indisvalid",
    )
}

#[both_engines]
#[case]
async fn a_lean_index_is_dropped_and_created_again_as_it_was() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    let before = definitions(&mut observer);

    let lean = admin::lean_indexes(&db).await.unwrap();
    assert!(lean.len() > 15, "{:?}", names(&lean));
    let reason_of = |name: &str| {
        let index = lean.iter().find(|index| index.index == name);
        index.map(|index| index.reason.clone())
    };
    let email = LeanReason::Repeats("public.users_email_key".to_owned());
    assert_eq!(reason_of("public.idx_users_email"), Some(email));
    assert_eq!(
        reason_of("public.idx_projects_updated_at"),
        Some(LeanReason::PreventsHotUpdates)
    );
    assert_eq!(
        reason_of("analysis.idx_analyses_results"),
        Some(LeanReason::Unused)
    );
    for index in &lean {
        observer.run(&index.drop);
    }
    assert_eq!(admin::lean_indexes(&db).await.unwrap(), []);
    let bare = "SELECT count(*) FROM pg_constraint k WHERE k.contype = 'f' AND NOT EXISTS ( \
        SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indkey[0] = k.conkey[1])";
    assert_eq!(observer.ask(bare), "0", "a foreign key lost its index");
    for index in &lean {
        observer.run(&index.create);
    }
    assert_eq!(definitions(&mut observer), before);
    let again = admin::lean_indexes(&db).await.unwrap();
    assert_eq!(names(&again), names(&lean));
}

/// An index repeats another one only if that exists.
#[both_engines]
#[case]
async fn an_index_without_a_substitute_is_not_lean() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run("DROP INDEX analysis.idx_analysis_issues_analysis_severity_id");
    let lean = admin::lean_indexes(&db).await.unwrap();
    assert!(!names(&lean).contains("analysis.idx_analysis_issues_analysis_severity"));
}

/// Updates the only project, and returns whether no index was written.
fn is_hot(observer: &mut Observer) -> bool {
    observer.run("BEGIN; UPDATE public.projects SET last_analyzed_at = now()");
    let hot = observer.ask("pg_stat_get_xact_tuples_hot_updated('public.projects'::regclass)");
    observer.run("ROLLBACK");
    hot == "1"
}

#[both_engines]
#[case]
async fn updates_of_a_project_are_hot_without_the_lean_indexes() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    let user = NewUser::new("ada@example.org", "Ada");
    let user = db.users().create(user).await.unwrap().id;
    let project = NewProject::new("Flask", user);
    db.projects().create(project).await.unwrap();

    assert!(!is_hot(&mut observer));
    for index in admin::lean_indexes(&db).await.unwrap() {
        if index.index.contains("_updated") {
            observer.run(&index.drop);
        }
    }
    assert!(is_hot(&mut observer));
}
