//! The files and other streams of bytes that the administration writes and reads.

use std::fmt;
use std::io::{Read, Write};

use crate::{Error, Result};

/// The number of bytes that are read at once.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// The stream of bytes that a call writes to, for example a file or a compressor.
///
/// The call flushes it at its end.
pub struct Output<'w>(Box<dyn Write + 'w>);

impl<'w> Output<'w> {
    /// Creates an output of a writer.
    pub fn new(writer: impl Write + 'w) -> Self {
        Self(Box::new(writer))
    }

    /// Creates an output of a writer. It is [`new`](Self::new), under the name that the async
    /// engine has for a writer of the standard library.
    pub fn immediate(writer: impl Write + 'w) -> Self {
        Self::new(writer)
    }

    /// Writes all of these bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let outcome = self.0.write_all(bytes);
        outcome.map_err(|error| Error::invalid("output", error))
    }

    /// Flushes the writer, and drops it.
    pub(crate) fn close(mut self) -> Result<()> {
        let outcome = self.0.flush();
        outcome.map_err(|error| Error::invalid("output", error))
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Output")
    }
}

/// The stream of bytes that a call reads from, for example a file or a decompressor.
pub struct Input<'r>(Box<dyn Read + 'r>);

impl<'r> Input<'r> {
    /// Creates an input of a reader.
    pub fn new(reader: impl Read + 'r) -> Self {
        Self(Box::new(reader))
    }

    /// Creates an input of a reader. It is [`new`](Self::new), under the name that the async
    /// engine has for a reader of the standard library.
    pub fn immediate(reader: impl Read + 'r) -> Self {
        Self::new(reader)
    }

    /// Returns the next bytes. Returns `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; BYTES_AT_ONCE];
        let outcome = loop {
            match self.0.read(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                outcome => break outcome,
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
