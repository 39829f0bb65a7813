//! Secrets are in no log and in no error.

use std::sync::Mutex;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use wundr_db::testing::migrated_database;
use wundr_db::{Config, Db, Error, NewUser, NewUserSession, blocking};

struct Capture(Mutex<Vec<String>>);

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{}: {}", record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

const SECRET: &str = "kelpie-4711";

/// As text, and as the bytes that a driver sends.
fn holds_a_secret(text: &str) -> bool {
    let bytes = format!("{:?}", SECRET.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']);
    text.contains(SECRET) || text.contains(bytes)
}

async fn work(database: &str) -> wundr_db::Result<()> {
    use wundr_db::{UserRepository, UserSessionRepository};
    let db = Db::connect_to(database).await?;
    let address = format!("{SECRET}@example.org");
    let user = db.users().create(NewUser::new(&*address, SECRET)).await?;
    db.users().find_by_email(&address).await?;
    let until = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let session = NewUserSession::new(user.id, SECRET, until);
    db.user_sessions().create(session).await?;
    db.user_sessions().find_by_token_hash(SECRET).await?;
    let many = (0..1_200).map(|at| NewUser::new(format!("{at}{address}"), SECRET));
    let many: Vec<_> = many.collect();
    db.users().create_many(&many).await?;
    Ok(())
}

#[tokio::test]
async fn no_value_of_a_statement_is_logged() {
    log::set_logger(&CAPTURE).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let database = migrated_database().unwrap();
    work(&database.url()).await.unwrap();
    // The other tests of this process log nothing.
    log::set_max_level(log::LevelFilter::Off);
    let lines = std::mem::take(&mut *CAPTURE.0.lock().unwrap());
    assert!(
        lines
            .iter()
            .any(|line| line.contains("executing statement")),
        "the driver logs otherwise: {lines:?}"
    );
    let found: Vec<_> = lines.iter().filter(|line| holds_a_secret(line)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// PostgreSQL's detail of a check is the whole row.
#[tokio::test]
async fn debug_of_an_error_shows_no_row() {
    let database = migrated_database().unwrap();
    let check =
        format!("ALTER TABLE public.users ADD CONSTRAINT no_kelpies CHECK (name <> '{SECRET}')");
    let mut connection = diesel::PgConnection::establish(&database.url()).unwrap();
    connection.batch_execute(&check).unwrap();
    let new = |address: &str, name: &str| NewUser::new(address.to_owned(), name.to_owned());
    let taken = format!("{SECRET}@example.org");
    let db = Db::connect_to(&database.url()).await.unwrap();
    let by_blocking = blocking::Db::connect_to(&database.url()).unwrap();
    let mut errors = Vec::new();
    {
        use wundr_db::UserRepository;
        db.users().create(new(&taken, "a")).await.unwrap();
        errors.push(db.users().create(new("a@example.org", SECRET)).await);
        errors.push(db.users().create(new(&taken, "b")).await);
        let many = [new("b@example.org", "b"), new("c@example.org", SECRET)];
        let many = db.users().create_many(&many).await;
        errors.push(many.map(|_| unreachable!()));
    }
    {
        use wundr_db::blocking::UserRepository;
        errors.push(by_blocking.users().create(new("a@example.org", SECRET)));
        errors.push(by_blocking.users().create(new(&taken, "b")));
    }
    for outcome in errors {
        let error = outcome.unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!holds_a_secret(&shown), "{shown}");
        // Returned on request.
        if let Error::Check(constraint) | Error::Unique(constraint) = &error {
            assert!(constraint.detail.as_deref().unwrap().contains(SECRET));
        }
    }
}

#[tokio::test]
async fn an_error_of_connecting_shows_no_password() {
    let config = Config::new(&format!(
        "postgres://u:{SECRET}@127.0.0.1:1,nowhere.invalid:2/d"
    ));
    let config = config.unwrap();
    assert!(!holds_a_secret(&format!("{config:?}")));
    let errors = [
        Db::connect(config.clone()).await.map(drop).unwrap_err(),
        blocking::Db::connect(config).map(drop).unwrap_err(),
    ];
    for error in errors {
        let shown = format!("{error} {error:?}");
        assert!(!holds_a_secret(&shown), "{shown}");
    }
}
