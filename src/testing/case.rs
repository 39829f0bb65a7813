//! What `#[wundr_db::test]` gives to a test.

use std::error::Error;
use std::fmt::Display;
#[cfg(feature = "async")]
use std::future::Future;
use std::sync::Arc;

use super::postgres::{PostgresServer, TestDatabase};
use super::recorder::{Recording, StatementRecorder};
use super::redis::RedisServer;
use crate::Config;

/// An error of preparing a test.
pub type TestError = Box<dyn Error + Send + Sync>;

/// The kind of an `async fn` with `#[wundr_db::test]`.
#[derive(Debug)]
pub enum AsyncTest {}

/// The kind of a plain `fn` with `#[wundr_db::test]`.
#[derive(Debug)]
pub enum BlockingTest {}

/// An argument of a test with `#[wundr_db::test]`.
///
/// `Kind` is [`AsyncTest`] or [`BlockingTest`]. An application implements it for what its tests
/// need.
///
/// # Examples
#[cfg_attr(feature = "async", doc = "```no_run")]
#[cfg_attr(not(feature = "async"), doc = "```ignore")]
/// use wundr_db::Db;
/// use wundr_db::testing::{AsyncTest, TestArgument, TestContext, TestError};
///
/// struct Service {
///     db: Db,
/// }
///
/// impl TestArgument<AsyncTest> for Service {
///     fn take(context: &mut TestContext) -> Result<Self, TestError> {
///         Ok(Self { db: Db::take(context)? })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this test",
    label = "not an argument of a test of this kind",
    note = "an async test takes `wundr_db::Db`, a blocking one `wundr_db::blocking::Db`",
    note = "both take `Config`, `TestDatabase`, `StatementRecorder` and `RedisServer`",
    note = "implement `wundr_db::testing::TestArgument` for a type of the application"
)]
pub trait TestArgument<Kind>: Sized {
    /// True if the statements of the test are recorded, so that its `Db` and its `Config` connect
    /// through the recorder.
    const RECORDS: bool = false;

    /// Returns the argument.
    ///
    /// # Errors
    /// The reason why the test cannot have it. The test then fails.
    fn take(context: &mut TestContext) -> Result<Self, TestError>;
}

/// A test that is about to run: its database, and what else was made for it.
// Dropped in this order: what uses the database first.
#[derive(Debug)]
pub struct TestContext {
    #[cfg(feature = "async")]
    runtime: Option<tokio::runtime::Runtime>,
    recorder: Option<StatementRecorder>,
    recording: Option<Arc<Recording>>,
    database: Option<TestDatabase>,
    url: String,
}

impl TestContext {
    /// Begins a test. One without arguments has no database.
    fn begin(needs: Needs, database: impl FnOnce() -> Result<TestDatabase, TestError>) -> Self {
        let database = needs.database.then(|| or_fail(database()));
        let recorder = database.as_ref().filter(|_| needs.recorder);
        let recorder = recorder.map(|database| or_fail(StatementRecorder::start(database)));
        let url = match (&recorder, &database) {
            (Some(recorder), _) => recorder.url(),
            (None, Some(database)) => database.url(),
            (None, None) => String::new(),
        };
        Self {
            #[cfg(feature = "async")]
            runtime: None,
            recording: recorder.as_ref().map(StatementRecorder::recording),
            recorder,
            database,
            url,
        }
    }

    /// Returns the URL of the test's database, through the recorder if there is one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the settings for the test's database, through the recorder if there is one.
    ///
    /// # Errors
    /// The same as [`Config::new`].
    pub fn config(&self) -> Result<Config, TestError> {
        Ok(Config::new(&self.url)?)
    }

    /// Runs a future on the test's runtime. A test has a runtime of one thread.
    ///
    /// # Errors
    /// The operating system's error if the runtime cannot be started.
    #[cfg(feature = "async")]
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, TestError> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => runtime()?,
        };
        let output = runtime.block_on(future);
        self.runtime = Some(runtime);
        Ok(output)
    }
}

#[cfg(feature = "async")]
fn runtime() -> Result<tokio::runtime::Runtime, TestError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// What a test needs, by its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// True if it has an argument.
    pub database: bool,
    /// True if an argument records statements.
    pub recorder: bool,
}

/// Returns the value, or lets the test fail with the message of the error.
fn or_fail<T, E: Display>(outcome: Result<T, E>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("the test cannot run: {error}"),
    }
}

/// Begins a test on a migrated database.
#[must_use]
pub fn begin(needs: Needs) -> TestContext {
    TestContext::begin(needs, || Ok(super::migrated_database()?))
}

/// Begins a test on a database that was migrated and then prepared, once for each `key`.
#[must_use]
pub fn begin_prepared<E: Into<TestError>>(
    needs: Needs,
    key: &str,
    prepare: impl FnOnce(Config) -> Result<(), E> + Send,
) -> TestContext {
    TestContext::begin(needs, || {
        let key = format!("{} {key}", crate::migrations::fingerprint());
        let database = PostgresServer::shared()?.create_database_from(&key, |url| {
            let config = Config::new(url)?;
            super::migrate(&config)?;
            prepare(config).map_err(Into::into)
        })?;
        Ok(database)
    })
}

/// Runs a future of `prepare` on a runtime of its own.
///
/// # Panics
/// If the runtime cannot be started.
#[cfg(feature = "async")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    or_fail(runtime()).block_on(future)
}

/// Runs an async test.
///
/// # Panics
/// If the runtime cannot be started.
#[cfg(feature = "async")]
pub fn run<F: Future>(context: &mut TestContext, test: F) -> F::Output {
    or_fail(context.block_on(test))
}

/// Returns an argument.
///
/// # Panics
/// If it cannot be made, with the reason.
#[must_use]
pub fn argument<Kind, A: TestArgument<Kind>>(context: &mut TestContext) -> A {
    let argument = or_fail(A::take(context));
    // What connecting a `Db` has sent is not a statement of the test.
    if let Some(recording) = &context.recording {
        recording.clear();
    }
    argument
}

#[cfg(feature = "async")]
impl TestArgument<AsyncTest> for crate::Db {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        let config = context.config()?;
        Ok(context.block_on(crate::Db::connect(config))??)
    }
}

#[cfg(feature = "blocking")]
impl TestArgument<BlockingTest> for crate::blocking::Db {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        Ok(crate::blocking::Db::connect(context.config()?)?)
    }
}

impl<Kind> TestArgument<Kind> for Config {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        context.config()
    }
}

impl<Kind> TestArgument<Kind> for TestDatabase {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        let database = context.database.take();
        database.ok_or_else(|| "a test has one `TestDatabase`".into())
    }
}

impl<Kind> TestArgument<Kind> for StatementRecorder {
    const RECORDS: bool = true;

    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        let recorder = context.recorder.take();
        recorder.ok_or_else(|| "a test has one `StatementRecorder`".into())
    }
}

impl<Kind> TestArgument<Kind> for RedisServer {
    fn take(_: &mut TestContext) -> Result<Self, TestError> {
        Ok(Self::start()?)
    }
}
