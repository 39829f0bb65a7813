use std::time::Duration;

use wundr_db::{Config, Error};

fn refusal(url: &str) -> (String, String) {
    match Config::new(url) {
        Err(Error::InvalidInput { field, reason }) => (field.into_owned(), reason.to_string()),
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn a_url_that_is_none_is_refused_without_being_repeated() {
    for url in [
        "",
        "host=localhost password=secret",
        "mysql://u:secret@h/d",
        "postgres://u:secret%@h/d",
        "postgres://u:se%cret@h/d",
        "postgres://u:secret@h/d?sslmode",
        "postgres://u:secret@h/d?application_name=%ff",
        "postgres://u:secret@h/d?connect_timeout=soon",
    ] {
        let (field, reason) = refusal(url);
        assert_eq!(field, "url");
        assert!(
            !reason.contains("secret") && !reason.contains("cret"),
            "{reason}"
        );
    }
    let (field, reason) = refusal("postgres://u:secret@h/d?sslmode=strict");
    assert_eq!(
        (field.as_str(), reason.contains("strict")),
        ("sslmode", true)
    );
}

#[test]
fn the_password_is_never_shown() {
    for url in [
        "postgres://u:secret@h:5432/d",
        "postgresql://u:sec%40ret@h/d?sslmode=require",
        "postgres://u:sec@ret@h/d",
        "postgres://u:secret?x=y@h/d",
        "postgres://h/d?user=u&password=secret",
        "postgres:///d?host=/run&password=secret",
    ] {
        let shown = format!("{:?}", Config::new(url).unwrap());
        assert!(!shown.contains("sec") && !shown.contains("ret"), "{shown}");
    }
    let shown = format!(
        "{:?}",
        Config::new("postgres://u:p@db.example:6000/d").unwrap()
    );
    assert!(shown.contains("db.example:6000/d"), "{shown}");
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let config = || Config::new("postgres://h/d").unwrap();
    let too_many_idle = config().max_connections(1).min_idle(2);
    let no_certificate = Config::new("postgres://h/d?sslmode=verify-ca&sslrootcert=/nowhere.pem");
    for (config, expected) in [
        (too_many_idle.clone(), "min_idle"),
        (no_certificate.unwrap(), "sslrootcert"),
    ] {
        match wundr_db::Db::lazy(config) {
            Err(Error::InvalidInput { field, .. }) => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(wundr_db::blocking::Db::lazy(too_many_idle).is_err());
    assert!(wundr_db::Db::lazy(config().connect_timeout(Duration::from_millis(1))).is_ok());
}
