//! The statements that a database receives, for tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServerError;
use super::postgres::TestDatabase;
use super::proxy::Proxy;
use crate::models::statement_names::statement_name;

/// A recorder of the statements that a test's database receives.
///
/// It is a proxy in front of the server that reads PostgreSQL's protocol, so that it records both
/// engines and an application's own queries alike. Only connections to its [`url`](Self::url) are
/// recorded. A statement is recorded when it is executed, before it reaches the server.
///
/// What the engines send for themselves is not recorded: the settings of a new connection and the
/// lookup of types.
///
/// A test of `#[wundr_db::test]` that has a `StatementRecorder` as an argument gets its `Db`
/// connected through it.
///
/// # Examples
#[cfg_attr(feature = "async", doc = "```no_run")]
#[cfg_attr(not(feature = "async"), doc = "```ignore")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use wundr_db::testing::{StatementRecorder, migrated_database};
/// use wundr_db::{Db, UserRepository};
///
/// let database = migrated_database()?;
/// let recorder = StatementRecorder::start(&database)?;
/// let db = Db::connect_to(&recorder.url()).await?;
///
/// recorder.clear();
/// db.users().find_by_email("ada@example.org").await?;
/// assert_eq!(recorder.names(), ["users.find_by_email"]);
/// assert_eq!(recorder.queries(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StatementRecorder {
    proxy: Proxy,
    url: String,
    recording: Arc<Recording>,
}

/// A statement that a database received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedStatement {
    /// The repository and the method of this crate whose statement it is, such as
    /// `users.find_by_email`. `None` for an application's own query.
    pub name: Option<&'static str>,
    /// The text as it was sent, without its parameters.
    pub text: String,
}

impl RecordedStatement {
    fn new(text: &str) -> Self {
        Self {
            name: statement_name(text),
            text: text.to_owned(),
        }
    }

    /// Checks whether the statement begins or ends a transaction or a savepoint.
    #[must_use]
    pub fn is_transaction_control(&self) -> bool {
        self.name
            .is_some_and(|name| name.starts_with("transaction."))
    }

    fn label(&self) -> &str {
        self.name.unwrap_or(&self.text)
    }
}

impl StatementRecorder {
    /// Starts a recorder in front of a test's database.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if it cannot listen on any port
    pub fn start(database: &TestDatabase) -> Result<Self, ServerError> {
        let recording = Arc::new(Recording::default());
        let proxy = Proxy::start_recording(database, Arc::clone(&recording))?;
        Ok(Self {
            url: proxy.url_of(database),
            proxy,
            recording,
        })
    }

    /// Returns the URL of the database through the recorder.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns what is recorded, for a test that passes the recorder on.
    pub(super) fn recording(&self) -> Arc<Recording> {
        Arc::clone(&self.recording)
    }

    /// Returns the proxy, which can also simulate faults.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Removes what was recorded so far.
    pub fn clear(&self) {
        self.recording.clear();
    }

    /// Returns all statements since the start or the last [`clear`](Self::clear), in the order in
    /// which they arrived.
    #[must_use]
    pub fn statements(&self) -> Vec<RecordedStatement> {
        self.recording.lock().clone()
    }

    /// Returns the number of statements that are not control of transactions.
    #[must_use]
    pub fn queries(&self) -> usize {
        let recorded = self.recording.lock();
        let queries = recorded.iter().filter(|one| !one.is_transaction_control());
        queries.count()
    }

    /// Returns the names of the statements that are not control of transactions, in the order in
    /// which they arrived. A statement without a name has its text.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let recorded = self.recording.lock();
        let queries = recorded.iter().filter(|one| !one.is_transaction_control());
        queries.map(|one| one.label().to_owned()).collect()
    }

    /// Returns how often each statement was executed, by name or text, with control of
    /// transactions.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for statement in self.recording.lock().iter() {
            *counts.entry(statement.label().to_owned()).or_default() += 1;
        }
        counts
    }
}

/// What the connections of a proxy have executed.
#[derive(Debug, Default)]
pub(super) struct Recording(Mutex<Vec<RecordedStatement>>);

impl Recording {
    fn lock(&self) -> MutexGuard<'_, Vec<RecordedStatement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn executed(&self, text: &str) {
        if !is_of_engine(text) {
            self.lock().push(RecordedStatement::new(text));
        }
    }
}

/// Parts of the statements that an engine sends for itself: to set up a connection, to look up a
/// type or its values, and to detect a failover.
const OF_ENGINES: [&str; 8] = [
    "set standard_conforming_strings",
    "set time zone 'utc'",
    "set client_encoding",
    "typarray",
    "t.typelem, r.rngsubtype",
    "from pg_catalog.pg_enum",
    "from pg_catalog.pg_attribute where attrelid",
    "pg_walfile_name",
];

/// Checks whether an engine sends the statement for itself.
fn is_of_engine(text: &str) -> bool {
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ").to_ascii_lowercase();
    text.is_empty() || OF_ENGINES.iter().any(|part| text.contains(part))
}

/// The messages that a client sends on one connection.
pub(super) struct ClientMessages {
    recording: Arc<Recording>,
    bytes: Vec<u8>,
    has_started: bool,
    /// The texts of the prepared statements by their names.
    prepared: HashMap<Vec<u8>, String>,
}

/// The protocol's version 3, as a startup message has it. Requests for encryption and of a
/// cancellation have other numbers, and no type either.
const PROTOCOL_3: u32 = 3;

impl ClientMessages {
    pub(super) fn new(recording: &Arc<Recording>) -> Self {
        Self {
            recording: Arc::clone(recording),
            bytes: Vec::new(),
            has_started: false,
            prepared: HashMap::new(),
        }
    }

    /// Records the statements whose messages are complete with these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some((kind, body, after)) = self.split(rest) {
            self.message(kind, body);
            rest = after;
        }
        self.bytes = rest.to_vec();
    }

    /// Splits off the first message: its type, its body and what follows. `None` if it is not
    /// complete.
    fn split<'b>(&self, bytes: &'b [u8]) -> Option<(u8, &'b [u8], &'b [u8])> {
        let (kind, rest) = match self.has_started {
            true => bytes.split_first().map(|(kind, rest)| (*kind, rest))?,
            false => (0, bytes),
        };
        let (length, _) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, after) = rest.split_at_checked(length.max(4))?;
        Some((kind, message.get(4..)?, after))
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        match kind {
            0 => {
                let version = body
                    .first_chunk::<4>()
                    .map(|code| u32::from_be_bytes(*code));
                self.has_started = version.is_some_and(|version| version >> 16 == PROTOCOL_3);
            }
            b'Q' => self.recording.executed(&text(body)),
            b'P' => {
                let (name, rest) = word(body);
                self.prepared.insert(name.to_vec(), text(rest));
            }
            b'B' => {
                let (_portal, rest) = word(body);
                let (name, _) = word(rest);
                if let Some(text) = self.prepared.get(name) {
                    self.recording.executed(text);
                }
            }
            _ => {}
        }
    }
}

/// Splits off the bytes before the first zero.
fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (word, rest) = bytes
        .split_at_checked(end.unwrap_or(bytes.len()))
        .unwrap_or((bytes, &[]));
    (word, rest.get(1..).unwrap_or_default())
}

/// Returns the text before the first zero.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(word(bytes).0).into_owned()
}
