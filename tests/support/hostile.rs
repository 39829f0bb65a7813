//! A database in which another role has made functions, operators, types and tables of its own in
//! `public`, under every name that the crate's statements use and for arguments that fit better
//! than PostgreSQL's own. Each raises an error when it is called. The contracts run there as a role
//! that owns nothing.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use wundr_db::Config;
use wundr_db::blocking::migrations;
use wundr_db::migrations::Rights;
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};

/// The environment variable under which databases are hostile: `new` ones that were migrated, or
/// `adopted` ones.
pub const HOSTILE: &str = "WUNDR_DB_TESTS_HOSTILE";

/// The application's role, and the other one.
pub const APPLICATION: &str = "application";
const MALLORY: &str = "mallory";

/// A database of the test's own.
pub fn database() -> TestDatabase {
    match std::env::var(HOSTILE).ok().as_deref() {
        None => migrated_database().unwrap(),
        Some("adopted") => of_hostile("adopted", |url| {
            run(url, include_str!("../data/design.sql"))?;
            plant(url)?;
            migrations::adopt(&Config::new(url)?)?;
            Ok(())
        }),
        Some(_) => planted(),
    }
}

/// A database of the test's own, in which another role has planted its code before the migrations.
pub fn planted() -> TestDatabase {
    of_hostile("new", |url| {
        plant(url)?;
        migrations::up(&Config::new(url)?)?;
        Ok(())
    })
}

/// The URL for the role that the contracts run as.
pub fn url(database: &TestDatabase) -> String {
    match std::env::var_os(HOSTILE) {
        None => database.url(),
        Some(_) => as_role(&database.url(), APPLICATION),
    }
}

/// The configuration that the contracts connect with.
pub fn config(database: &TestDatabase) -> Config {
    super::pgbouncer::config_of(database, &url(database))
}

/// The URL of a database for another role than the superuser.
pub fn as_role(url: &str, role: &str) -> String {
    assert!(url.contains("//postgres@"), "{url}");
    url.replace("//postgres@", &format!("//{role}@"))
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn of_hostile(kind: &str, prepare: impl FnOnce(&str) -> Outcome + Send) -> TestDatabase {
    let prepare = |url: &str| {
        prepare(url)?;
        plant_for_enums(url)?;
        grant(url)
    };
    let server = PostgresServer::shared().unwrap();
    server
        .create_database_from(&format!("hostile, {kind}"), prepare)
        .unwrap()
}

fn run(url: &str, sql: &str) -> Outcome {
    Ok(PgConnection::establish(url)?.batch_execute(sql)?)
}

/// All words that the crate's sources and migrations write before a parenthesis: the names of SQL
/// functions are among them.
fn words() -> BTreeSet<String> {
    fn collect(directory: &Path, words: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, words);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
            for before in text.split('(') {
                let word = before.rsplit(|character| !is_name(character)).next();
                words.insert(word.unwrap_or_default().to_ascii_lowercase());
            }
        }
    }
    let mut words = BTreeSet::new();
    for directory in ["src", "migrations"] {
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            &mut words,
        );
    }
    words
}

/// Has mallory create in `public`, whose objects come first on the path of all sessions that do not
/// say otherwise.
fn plant(url: &str) -> Outcome {
    let words: Vec<_> = words()
        .into_iter()
        .map(|word| format!("'{word}'"))
        .collect();
    let words = words.join(", ");
    run(
        url,
        &format!(
            "CREATE ROLE {MALLORY}; GRANT CREATE ON SCHEMA public TO {MALLORY}; SET ROLE {MALLORY}; \
             SET search_path = pg_catalog; \
             DO $$ DECLARE name TEXT; arguments TEXT; BEGIN \
                 FOR name IN SELECT DISTINCT proname FROM pg_proc \
                     WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ({words}) \
                 LOOP \
                     FOREACH arguments IN ARRAY ARRAY['', 'varchar', 'text', 'uuid', 'timestamptz', 'jsonb', 'bigint', \
                         'integer', 'numeric', 'boolean', 'varchar, varchar', 'varchar, text', 'text, varchar', \
                         'text, text', 'text, timestamptz', 'uuid[]', 'text[]', 'varchar[]'] \
                     LOOP \
                         EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS text LANGUAGE plpgsql AS \
                             $f$ BEGIN RAISE EXCEPTION ''hostile: function {{%s}}''; END $f$', \
                             name, arguments, name); \
                     END LOOP; \
                 END LOOP; \
             END $$; {PLANT_OPERATORS} \
             SELECT public.plant(l, r) FROM (VALUES ('varchar', 'text'), ('text', 'varchar'), ('varchar', 'varchar'), \
                 ('bigint', 'interval'), ('interval', 'bigint'), ('integer', 'interval'), ('varchar[]', 'text[]'), \
                 ('timestamptz', 'timestamp'), ('date', 'timestamptz'), ('jsonb', 'varchar'), ('bigint', 'integer'), \
                 ('name', 'varchar'), ('varchar', 'name'), ('text', 'name')) AS pairs (l, r); \
             SELECT public.plant(t, t) FROM unnest(ARRAY['text', 'uuid', 'timestamptz', 'jsonb', 'bigint', 'integer', \
                 'numeric', 'boolean', 'interval', 'date', 'name', 'oid', 'float8', 'text[]', 'uuid[]']) AS t; \
             CREATE TABLE public.pg_type (oid oid, typname name, typnamespace oid, typarray oid); \
             CREATE TABLE public.pg_namespace (oid oid, nspname name); \
             CREATE TABLE public.pg_class (oid oid, relname name); \
             CREATE DOMAIN public.jsonb AS text CHECK (false); \
             CREATE DOMAIN public.timestamptz AS text CHECK (false); \
             RESET ROLE; \
             DO $$ BEGIN EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = public, pg_catalog', \
                 pg_catalog.current_database()); END $$"
        ),
    )
}

/// A function that makes all operators for two types.
const PLANT_OPERATORS: &str = "\
    CREATE FUNCTION public.plant(l text, r text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$ \
    DECLARE operator TEXT; result TEXT; BEGIN \
        FOREACH operator IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>=', '~~', '~~*', '!~~', '~', '@>', '<@', '?', '&&', \
            '||', '+', '-', '*', '/', '->', '->>', '#>>'] \
        LOOP \
            result := CASE WHEN operator IN ('||', '+', '-', '*', '/', '->', '->>', '#>>') THEN 'text' ELSE 'boolean' END; \
            EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS \
                $f$ BEGIN RAISE EXCEPTION %L; END $f$', \
                'hostile ' || operator, l, r, result, 'hostile: operator {' || l || ' ' || operator || ' ' || r || '}'); \
            EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)', \
                operator, l, r, 'hostile ' || operator); \
        END LOOP; \
    END $$;";

/// The same for the enums, which have no operators of their own: any that is made for one fits
/// best.
fn plant_for_enums(url: &str) -> Outcome {
    run(
        url,
        &format!(
            "SET search_path = pg_catalog; \
             GRANT USAGE ON SCHEMA analysis, setup, audit TO {MALLORY}; SET ROLE {MALLORY}; \
             SELECT public.plant(name, name), public.plant(name, 'text'), public.plant(name, name || '[]') \
             FROM (SELECT oid::regtype::text AS name FROM pg_type \
                 WHERE typtype = 'e' AND typnamespace <> 'pg_catalog'::regnamespace) AS enums; \
             RESET ROLE"
        ),
    )
}

/// The privileges of the application's role, and no more. It may become the superuser for what the
/// tests themselves change.
fn grant(url: &str) -> Outcome {
    run(
        url,
        &format!(
            "SET search_path = pg_catalog; \
             CREATE ROLE {APPLICATION} LOGIN NOINHERIT; GRANT postgres TO {APPLICATION}; \
             DO $$ BEGIN \
                 EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); \
                 EXECUTE format('ALTER ROLE postgres IN DATABASE %I SET search_path = pg_catalog', current_database()); \
             END $$"
        ),
    )?;
    Ok(migrations::grant(
        &Config::new(url)?,
        APPLICATION,
        Rights::Application,
    )?)
}

/// Runs the tests of a module of this program once more, in hostile databases. Skips those whose
/// name contains a word of `without`, and those that start it: their names contain `hostile`.
pub fn run_again(kind: &str, module: &str, without: &[&str]) {
    // A test without that word in its name would start itself, without end.
    assert!(
        std::env::var_os(HOSTILE).is_none(),
        "a test that calls run_again is run by it: its name must contain \"hostile\""
    );
    // One after the other: each uses all processors.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again
        .env(HOSTILE, kind)
        .arg(module)
        .args(["--skip", "hostile"]);
    for name in without {
        again.args(["--skip", name]);
    }
    let output = again.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let ran = stdout.matches("... ok").count();
    assert!(ran > 100, "{ran} ran: {stdout}");
}
