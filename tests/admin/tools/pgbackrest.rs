//! pgBackRest, with the configuration of the example.

use std::fs;

use wundr_db::Config;
use wundr_db::blocking::migrations;
use wundr_db::testing::PostgresServer;

use super::{Place, command, required, run, text, until_ready};
use crate::observer::Observer;

#[test]
fn pgbackrest_restores_between_two_named_writes() {
    required("pgbackrest", "pgbackrest");
    let place = Place::new();
    let file = place.path("pgbackrest.conf");
    let archive = format!(
        "pgbackrest --config={} --stanza=wundr archive-push %p",
        file.display()
    );
    let server = PostgresServer::builder()
        .setting("archive_mode", "on")
        .setting("archive_command", archive)
        .start()
        .unwrap();
    let mut configuration = fs::read_to_string(place.script("pgbackrest.conf")).unwrap();
    for (path, name) in [
        ("/var/lib/pgbackrest", "repository"),
        ("/var/spool/pgbackrest", "spool"),
        ("/var/log/pgbackrest", "log"),
        ("/run/pgbackrest", "lock"),
    ] {
        let directory = place.directory(name);
        configuration = configuration.replace(path, directory.to_str().unwrap());
    }
    let data = server.data_dir().to_str().unwrap();
    configuration = configuration
        .replace("/var/lib/postgresql/15/main", data)
        .replace("/run/postgresql", server.socket_dir().to_str().unwrap());
    fs::write(&file, configuration).unwrap();
    let prepared = |arguments: &[&str]| {
        let mut command = command(&server, "pgbackrest");
        command
            .arg(format!("--config={}", file.display()))
            .arg("--stanza=wundr")
            .args(arguments);
        command
    };
    let pgbackrest = |arguments: &[&str]| run(&mut prepared(arguments));
    let created = prepared(&["stanza-create"]).output().unwrap();
    if !created.status.success() {
        // 2.45 does not know the versions after 15, and refuses them.
        let said = text(&created);
        let is_unknown = said.contains("is this version of PostgreSQL supported?");
        assert!(is_unknown && server.version() > 15, "{said}");
        return;
    }
    Observer::of(&server.url("postgres")).run("CREATE DATABASE wundr");
    migrations::up(&Config::new(&server.url("wundr")).unwrap()).unwrap();
    pgbackrest(&["--type=full", "backup"]);
    let mut observer = Observer::of(&server.url("wundr"));
    for name in ["first", "second"] {
        observer.run(&format!(
            "INSERT INTO public.users (email, name) VALUES ('{name}@example.org', 'Named')"
        ));
        // The statements of one message are one transaction, which would end behind the point.
        observer.run(&format!("SELECT pg_create_restore_point('{name}')"));
        // A restore finds what was archived before it.
        let file = observer.ask("SELECT pg_walfile_name(pg_switch_wal())");
        observer.until(&format!(
            "(SELECT last_archived_wal >= '{file}' FROM pg_stat_archiver)"
        ));
    }
    let verified = pgbackrest(&["verify"]);
    assert!(
        !verified.contains("ERROR") && !verified.contains("WARN"),
        "{verified}"
    );
    let restored = place.path("restored");
    let target = format!("--pg1-path={}", restored.display());
    pgbackrest(&[
        &target,
        "--type=name",
        "--target=first",
        "--target-action=promote",
        "restore",
    ]);
    let recovered = PostgresServer::builder()
        .data_dir(&restored)
        .fsync(false)
        .setting("hot_standby", "off")
        .start()
        .unwrap();
    pgbackrest(&["--type=incr", "backup"]);
    until_ready(&recovered);
    let users =
        "SELECT string_agg(split_part(email, '@', 1), ' ' ORDER BY email) FROM public.users";
    assert_eq!(Observer::of(&recovered.url("wundr")).ask(users), "first");
}
