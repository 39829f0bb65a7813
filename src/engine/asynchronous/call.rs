//! Calls: the use of a connection by a statement, from its begin to its end.

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::Query;
use diesel::query_dsl::CompatibleType;

use super::Tx;
use super::any_query::Runnable;
use super::pool::CheckedOut;
use crate::engine::connection::Connection;
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::Trace;
use crate::sql::decoding::decoded_once;
use crate::{Error, Result};

/// A call that uses a transaction. Dropped before it has ended, it leaves a trace in the
/// transaction's state.
pub(crate) struct StatementGuard<'t> {
    pub(super) tx: &'t Tx,
    trace: Trace,
    hold: Hold,
    completed: bool,
}

impl<'t> StatementGuard<'t> {
    /// Begins a call, which leaves this trace unless it is [completed](Self::complete).
    ///
    /// # Errors
    /// - [`Error::InUse`] if the transaction cannot be used in that way now
    pub(super) fn begin(tx: &'t Tx, hold: Hold, trace: Trace) -> Result<Self> {
        tx.state.enter(hold)?;
        Ok(Self {
            tx,
            trace,
            hold,
            completed: false,
        })
    }

    /// Ends the exclusive part of a stream, whose first rows have arrived: later statements are
    /// executed after its query.
    pub(super) fn begin_stream(&mut self) {
        if self.hold == Hold::Shared {
            self.tx.state.begin_stream();
            self.hold = Hold::Streaming;
        }
    }

    pub(super) fn complete<T>(self, outcome: QueryResult<T>) -> Result<T> {
        Call::Tx(self).complete(outcome)
    }

    fn failed(mut self, error: diesel::result::Error) -> Error {
        self.completed = true;
        self.tx.failed(error)
    }

    pub(super) fn mark_completed(mut self) {
        self.completed = true;
    }
}

impl Drop for StatementGuard<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.tx.state.leave_trace(self.trace);
        }
        self.tx.state.leave(self.hold);
    }
}

/// A call, with the connection that it uses. Dropped before it is [completed](Self::complete), it
/// leaves a trace in its transaction's state, or closes the connection.
pub(super) enum Call<'t> {
    Pool(CheckedOut),
    Tx(StatementGuard<'t>),
}

// Without the type of the statement, so that it is compiled once.
impl Call<'_> {
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Call::Pool(checked_out) => &checked_out.connection.inner,
            Call::Tx(guard) => &guard.tx.connection.inner,
        }
    }

    /// Keeps the connection from being used again.
    pub(super) fn retire(&self) {
        match self {
            Call::Pool(checked_out) => checked_out.connection.usage.retire(),
            Call::Tx(guard) => guard.tx.connection.usage.retire(),
        }
    }

    pub(super) fn complete<T>(self, outcome: QueryResult<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.mark_completed();
                Ok(value)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn mark_completed(self) {
        match self {
            Call::Pool(checked_out) => checked_out.mark_completed(),
            Call::Tx(guard) => guard.mark_completed(),
        }
    }

    fn failed(self, error: diesel::result::Error) -> Error {
        match self {
            Call::Pool(checked_out) => checked_out.failed(error),
            Call::Tx(guard) => guard.failed(error),
        }
    }
}

impl CheckedOut {
    /// Returns the only row of a query that always has one.
    pub(super) async fn one<Q, R>(self, query: Q) -> Result<R>
    where
        Q: Query<SqlType: CompatibleType<R, Pg>> + Runnable,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let call = Call::Pool(self);
        let bound = query.untyped().bound_to(call.connection(), None);
        let row = call.connection().send_for_only_row(bound).await;
        let row = row.and_then(|row| row.ok_or(diesel::result::Error::NotFound));
        call.complete(row.and_then(|row| decoded_once(&row)))
    }
}
