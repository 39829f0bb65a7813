//! `COPY` between a transaction and the streams of the administration.

use super::Tx;
use super::call::StatementGuard;
use super::streams::{Input, Output};
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::Trace;
use crate::sql::copy::{BYTES_AT_ONCE, CopyData};
use crate::{Error, Result};

impl Tx {
    /// Writes what a `COPY … TO STDOUT` returns to the output. `seen` receives the same bytes.
    ///
    /// If it fails or is dropped, the transaction can only be rolled back.
    pub(crate) async fn copy_out(
        &self,
        sql: &str,
        output: &mut Output<'_>,
        seen: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        let guard = StatementGuard::begin(self, Hold::Within, Trace::StatementAbandoned)?;
        let mut copied = match self.connection.inner.copy_out(sql).await {
            Ok(copied) => copied,
            Err(error) => return guard.complete(Err(error)),
        };
        let mut buffer = Vec::with_capacity(BYTES_AT_ONCE);
        let mut refused = None;
        loop {
            // The output is not waited for here: the time it takes is not the server's.
            let next = match copied.next().await {
                Ok(next) => next,
                Err(error) => return guard.complete(Err(error)),
            };
            if refused.is_none() {
                buffer.extend_from_slice(next.as_deref().unwrap_or_default());
                if next.is_none() || buffer.len() >= BYTES_AT_ONCE {
                    seen(&buffer);
                    refused = output.write(&buffer).await.err();
                    buffer.clear();
                }
            }
            // Also after the output has failed: a transaction with an abandoned COPY would keep its
            // locks until the server notices the lost connection.
            if next.is_none() {
                guard.complete(Ok(()))?;
                return refused.map_or(Ok(()), Err);
            }
        }
    }

    /// Passes the input through `data` to a `COPY … FROM STDIN`, and returns the number of rows
    /// that the server has stored.
    ///
    /// If it fails or is dropped, the transaction can only be rolled back.
    pub(crate) async fn copy_in(
        &self,
        sql: &str,
        input: &mut Input<'_>,
        data: &mut (dyn CopyData + Send),
    ) -> Result<u64> {
        let guard = StatementGuard::begin(self, Hold::Within, Trace::StatementAbandoned)?;
        let mut copy = match self.connection.inner.copy_in(sql).await {
            Ok(copy) => copy,
            Err(error) => return guard.complete(Err(error)),
        };
        let mut read = Some(Vec::new());
        loop {
            let mut bytes = Vec::new();
            let is_over = data.take(read.as_deref(), &mut bytes)?;
            if !bytes.is_empty()
                && let Err(error) = copy.send(bytes).await
            {
                return guard.complete(Err(error));
            }
            if is_over {
                return guard.complete(copy.finish().await);
            }
            if read.is_none() {
                return Err(Error::invalid("input", "ends too early"));
            }
            read = input.next().await?;
        }
    }
}
