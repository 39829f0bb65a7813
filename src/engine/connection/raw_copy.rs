//! `COPY` of bytes that the caller frames: out of any query, and into any table.

use std::future::poll_fn;
use std::pin::{Pin, pin};

use bytes::Bytes;
use diesel::QueryResult;
use futures_util::{SinkExt as _, Stream as _};
use tokio_postgres::{CopyInSink, CopyOutStream};

use super::driver::Operation;
use super::{Connection, CopyInDoubt};

/// The response to a `COPY … TO STDOUT`.
pub(crate) struct CopyOut {
    stream: Pin<Box<CopyOutStream>>,
    operation: Operation,
}

/// A `COPY … FROM STDIN` that awaits its bytes. Dropped before its end, it closes the connection.
pub(crate) struct CopyIn<'c> {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    operation: Operation,
    doubt: CopyInDoubt<'c>,
}

impl Connection {
    /// Begins a `COPY … TO STDOUT`.
    pub(crate) async fn copy_out(&self, sql: &str) -> QueryResult<CopyOut> {
        let mut operation = Operation::on(&self.driver);
        let begun = pin!(self.client()?.copy_out(sql));
        let stream = operation.drive(begun).await;
        Ok(CopyOut {
            stream: Box::pin(stream.map_err(|error| operation.diesel_error(&error))?),
            operation,
        })
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(crate) async fn copy_in(&self, sql: &str) -> QueryResult<CopyIn<'_>> {
        let mut operation = Operation::on(&self.driver);
        let doubt = CopyInDoubt {
            connection: self,
            is_over: false,
        };
        let begun = pin!(self.client()?.copy_in::<_, Bytes>(sql));
        let sink = operation.drive(begun).await;
        Ok(CopyIn {
            sink: Box::pin(sink.map_err(|error| operation.diesel_error(&error))?),
            operation,
            doubt,
        })
    }
}

impl CopyOut {
    /// Returns the next bytes, or `None` after the last.
    pub(crate) async fn next(&mut self) -> QueryResult<Option<Bytes>> {
        let Self { stream, operation } = self;
        let next = poll_fn(|context| {
            operation.poll(context, |context| stream.as_mut().poll_next(context))
        });
        let next = next.await.transpose();
        next.map_err(|error| operation.diesel_error(&error))
    }
}

impl CopyIn<'_> {
    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> QueryResult<()> {
        let sending = pin!(self.sink.send(Bytes::from(bytes)));
        let sent = self.operation.drive(sending).await;
        sent.map_err(|error| self.operation.diesel_error(&error))
    }

    /// Ends the `COPY`, and returns the number of rows that the server has stored.
    pub(crate) async fn finish(mut self) -> QueryResult<u64> {
        let finishing = pin!(self.sink.as_mut().finish());
        let finished = self.operation.drive(finishing).await;
        let written = finished.map_err(|error| self.operation.diesel_error(&error))?;
        self.doubt.is_over = true;
        Ok(written)
    }
}
