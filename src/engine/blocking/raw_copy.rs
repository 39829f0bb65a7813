//! `COPY` between a transaction and the streams of the administration, by diesel's own.

use std::cell::RefCell;
use std::io::{BufRead as _, Write};

use diesel::connection::SimpleConnection as _;
use diesel::pg::{CopyFormat, CopyTarget, Pg, PgConnection};
use diesel::query_builder::AstPass;
use diesel::result::Error::{DeserializationError, SerializationError};
use diesel::{ExecuteCopyFromDsl as _, QueryResult, sql_types};

use super::Tx;
use super::streams::{Input, Output};
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::PROOF_OF_HEALTH;
use crate::sql::copy::{BYTES_AT_ONCE, CopyData};
use crate::{Error, Result};

thread_local! {
    /// The text between `COPY` and `TO` or `FROM`. diesel takes it from a type, not from a value.
    static TARGET: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The text in [`TARGET`].
struct Target;

impl CopyTarget for Target {
    // Only to satisfy the trait.
    type Table = crate::schema::audit::audit_logs::table;
    type SqlType = sql_types::Binary;

    fn walk_target(mut out: AstPass<'_, '_, Pg>) -> QueryResult<()> {
        TARGET.with_borrow(|target| out.push_sql(target));
        Ok(())
    }
}

/// Sets [`TARGET`] to what stands between `COPY` and this word in a statement, and returns the
/// format that follows it.
fn set_target(sql: &str, direction: &str) -> QueryResult<CopyFormat> {
    let target = sql.strip_prefix("COPY ");
    let target = target.and_then(|target| target.rsplit_once(direction));
    let target = target.ok_or("no COPY");
    let (target, options) = target.map_err(|error| SerializationError(error.into()))?;
    TARGET.with_borrow_mut(|text| target.clone_into(text));
    match options {
        "" => Ok(CopyFormat::Text),
        " WITH (FORMAT binary)" => Ok(CopyFormat::Binary),
        _ => Err(SerializationError("an unknown format".into())),
    }
}

impl Tx {
    /// Writes what a `COPY … TO STDOUT` returns to the output. `seen` receives the same bytes.
    ///
    /// If it fails, the transaction can only be rolled back.
    pub(crate) fn copy_out(
        &self,
        sql: &str,
        output: &mut Output<'_>,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        let mut refused = None;
        let outcome = self.run(Hold::Within, |connection| {
            let format = set_target(sql, " TO STDOUT")?;
            let copied = copy_out(connection, format, |bytes| {
                seen(bytes);
                output.write(bytes).map_err(|error| {
                    refused = Some(error);
                    DeserializationError("the output failed".into())
                })
            });
            // Reads the end of the response, which diesel leaves, and what follows an output that
            // failed. If the server has failed, the transaction has.
            connection.batch_execute(PROOF_OF_HEALTH)?;
            copied
        });
        refused.map_or(outcome, Err)
    }

    /// Passes the input through `data` to a `COPY … FROM STDIN`, and returns the number of rows
    /// that the server has stored.
    ///
    /// If it fails, the transaction can only be rolled back.
    pub(crate) fn copy_in(
        &self,
        sql: &str,
        input: &mut Input<'_>,
        data: &mut (dyn CopyData + Send),
    ) -> Result<u64> {
        let mut refused = None;
        let outcome = self.run(Hold::Within, |connection| {
            let format = set_target(sql, " FROM STDIN")?;
            // diesel calls it once, and takes a function that could be called again.
            let state = RefCell::new((input, data, &mut refused));
            let send = |server: &mut dyn Write| {
                let (input, data, refused) = &mut *state.borrow_mut();
                send(server, input, *data, refused)
            };
            diesel::copy_from(crate::schema::audit::audit_logs::table)
                .from_raw_data(Target, send)
                .with_format(format)
                .execute(connection)
        });
        let written = refused.map_or(outcome, Err)?;
        Ok(u64::try_from(written).unwrap_or(u64::MAX))
    }
}

fn copy_out(
    connection: &mut PgConnection,
    format: CopyFormat,
    mut write: impl FnMut(&[u8]) -> QueryResult<()>,
) -> QueryResult<()> {
    let mut rows = diesel::copy_to(Target)
        .with_format(format)
        .load_raw(connection)?;
    let mut buffer = Vec::with_capacity(BYTES_AT_ONCE);
    loop {
        let bytes = rows.fill_buf();
        let bytes = bytes.map_err(|error| DeserializationError(Box::new(error)))?;
        let read = bytes.len();
        buffer.extend_from_slice(bytes);
        rows.consume(read);
        if read == 0 || buffer.len() >= BYTES_AT_ONCE {
            write(&buffer)?;
            buffer.clear();
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn send(
    server: &mut dyn Write,
    input: &mut Input<'_>,
    data: &mut (dyn CopyData + Send),
    refused: &mut Option<Error>,
) -> QueryResult<()> {
    let mut fail = |error| {
        *refused = Some(error);
        SerializationError("the input failed".into())
    };
    let mut read = Some(Vec::new());
    loop {
        let mut bytes = Vec::new();
        let is_over = data.take(read.as_deref(), &mut bytes).map_err(&mut fail)?;
        let sent = server.write_all(&bytes);
        sent.map_err(|error| SerializationError(Box::new(error)))?;
        if is_over {
            return Ok(());
        }
        if read.is_none() {
            return Err(fail(Error::invalid("input", "ends too early")));
        }
        read = input.next().map_err(&mut fail)?;
    }
}
