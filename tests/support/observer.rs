//! Sees from outside what the sessions of a database do.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};

/// Longer than anything here takes, except on a machine that stands still.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody is in a transaction or runs a statement.
pub const ALL_AT_REST: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND state <> 'idle')";

/// Somebody waits for a lock.
pub const SOMEBODY_WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";

pub struct Observer(PgConnection);

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

impl Observer {
    pub fn of(url: &str) -> Self {
        Self(PgConnection::establish(url).unwrap())
    }

    pub fn run(&mut self, statements: &str) {
        self.0.batch_execute(statements).unwrap();
    }

    /// Returns the error of a statement, if the server refuses it.
    pub fn refusal(&mut self, statement: &str) -> Option<String> {
        let outcome = self.0.batch_execute(statement);
        outcome.err().map(|error| error.to_string())
    }

    /// The text of an SQL expression.
    pub fn ask(&mut self, expression: &str) -> String {
        let question = format!("SELECT COALESCE(({expression})::text, 'NULL') AS answer");
        let answer: Answer = diesel::sql_query(question).get_result(&mut self.0).unwrap();
        answer.answer
    }

    pub fn count(&mut self, table: &str) -> usize {
        self.ask(&format!("SELECT count(*) FROM {table}"))
            .parse()
            .unwrap()
    }

    pub fn until(&mut self, condition: &str) {
        let started = Instant::now();
        while !self.holds(condition, started) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// [`until`](Self::until) that lets the runtime go on meanwhile.
    pub async fn eventually(&mut self, condition: &str) {
        let started = Instant::now();
        while !self.holds(condition, started) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn holds(&mut self, condition: &str, since: Instant) -> bool {
        let holds = self.ask(condition) == "true";
        if !holds && since.elapsed() > PATIENCE {
            let sessions = self.ask(
                "SELECT string_agg(state || ': ' || query, E'\\n') FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
            panic!("still not {condition}:\n{sessions}");
        }
        holds
    }
}
