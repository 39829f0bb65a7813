use super::*;

use wundr_db::testing::migrated_database;

#[both_engines]
#[case]
async fn a_server_that_archives_nothing_has_an_archiver_that_does_not_fail() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let state = admin::archiver(&db).await.unwrap();
    let mut observer = Observer::of(&database.url());
    assert_eq!((state.archived, state.failed), (0, 0));
    assert!(!state.is_failing());
    assert_eq!(observer.ask("current_setting('archive_mode')"), "off");
}
