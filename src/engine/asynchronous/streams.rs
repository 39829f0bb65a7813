//! The files and other streams of bytes that the administration writes and reads.

use std::fmt;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Error, Result};

/// The number of bytes that are read at once.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// The stream of bytes that a call writes to, for example a file or a compressor.
///
/// The call shuts a writer of tokio down at its end, and flushes one of the standard library.
pub struct Output<'w>(Writer<'w>);

enum Writer<'w> {
    Waiting(Pin<Box<dyn AsyncWrite + Send + 'w>>),
    Immediate(Box<dyn Write + Send + 'w>),
}

impl<'w> Output<'w> {
    /// Creates an output of a writer of tokio.
    pub fn new(writer: impl AsyncWrite + Send + 'w) -> Self {
        Self(Writer::Waiting(Box::pin(writer)))
    }

    /// Creates an output of a writer of the standard library, for example a compressor into memory
    /// or into a file. A write blocks the thread.
    pub fn immediate(writer: impl Write + Send + 'w) -> Self {
        Self(Writer::Immediate(Box::new(writer)))
    }

    /// Writes all of these bytes.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let outcome = match &mut self.0 {
            Writer::Immediate(writer) => writer.write_all(bytes),
            Writer::Waiting(writer) => loop {
                if bytes.is_empty() {
                    break Ok(());
                }
                match poll_fn(|context| writer.as_mut().poll_write(context, bytes)).await {
                    Ok(0) => break Err(std::io::ErrorKind::WriteZero.into()),
                    Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                    Err(error) => break Err(error),
                }
            },
        };
        outcome.map_err(|error| Error::invalid("output", error))
    }

    /// Shuts the writer down: a compressor writes its end.
    pub(crate) async fn close(mut self) -> Result<()> {
        let outcome = match &mut self.0 {
            Writer::Immediate(writer) => writer.flush(),
            Writer::Waiting(writer) => {
                poll_fn(|context| writer.as_mut().poll_shutdown(context)).await
            }
        };
        outcome.map_err(|error| Error::invalid("output", error))
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Output")
    }
}

/// The stream of bytes that a call reads from, for example a file or a decompressor.
pub struct Input<'r>(Reader<'r>);

enum Reader<'r> {
    Waiting(Pin<Box<dyn AsyncRead + Send + 'r>>),
    Immediate(Box<dyn Read + Send + 'r>),
}

impl<'r> Input<'r> {
    /// Creates an input of a reader of tokio.
    pub fn new(reader: impl AsyncRead + Send + 'r) -> Self {
        Self(Reader::Waiting(Box::pin(reader)))
    }

    /// Creates an input of a reader of the standard library. A read blocks the thread.
    pub fn immediate(reader: impl Read + Send + 'r) -> Self {
        Self(Reader::Immediate(Box::new(reader)))
    }

    /// Returns the next bytes. Returns `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; BYTES_AT_ONCE];
        let outcome = match &mut self.0 {
            Reader::Immediate(reader) => loop {
                match reader.read(&mut bytes) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    outcome => break outcome,
                }
            },
            Reader::Waiting(reader) => {
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = poll_fn(|context| reader.as_mut().poll_read(context, &mut buffer)).await;
                read.map(|()| buffer.filled().len())
            }
        };
        let read = outcome.map_err(|error| Error::invalid("input", error))?;
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Input")
    }
}
