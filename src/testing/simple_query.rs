//! PostgreSQL's simple query protocol over a Unix socket, as far as creating databases needs it.
//!
//! It needs neither an engine of this crate nor `psql`, which some server packages do not include.

use super::ServerError;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The time limit of a statement. None takes longer, except on a stalled machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection of the superuser `postgres`.
pub(super) struct Session {
    stream: UnixStream,
}

struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Session {
    pub(super) fn open(socket: &Path, database: &str) -> Result<Self, ServerError> {
        let action = format!("connect to {database}");
        let connecting = || ServerError::io("connect to", socket);
        let stream = UnixStream::connect(socket).map_err(connecting())?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .map_err(connecting())?;
        stream
            .set_write_timeout(Some(TIMEOUT))
            .map_err(connecting())?;
        let mut session = Self { stream };
        // Protocol 3.0, then names and values, each terminated by a zero byte, then another zero
        // byte.
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        body.extend_from_slice(format!("user\0postgres\0database\0{database}\0\0").as_bytes());
        session.send(None, &body).map_err(connecting())?;
        session.finish(&action)?;
        Ok(session)
    }

    /// Runs one statement and returns the first column of its first row, if there is one and it is
    /// not NULL.
    pub(super) fn run(&mut self, statement: &str) -> Result<Option<String>, ServerError> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)
            .map_err(|source| ServerError::Io {
                action: format!("run {statement}"),
                source,
            })?;
        self.finish(statement)
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message)
    }

    /// Reads messages until the server is ready for the next statement.
    fn finish(&mut self, statement: &str) -> Result<Option<String>, ServerError> {
        let mut value = None;
        let mut error = None;
        loop {
            let message = match self.receive() {
                Ok(message) => message,
                // After an error at the start of the session, the server closes it.
                Err(source) => {
                    return Err(error.unwrap_or_else(|| ServerError::Io {
                        action: format!("run {statement}"),
                        source,
                    }));
                }
            };
            match message.kind {
                b'Z' => return error.map_or(Ok(value), Err),
                b'E' => error = Some(message.into_error(statement)),
                b'D' if value.is_none() => value = message.first_column(),
                // Authentication: 0 means success.
                b'R' if message.body != [0; 4] => {
                    return Err(ServerError::Io {
                        action: format!("run {statement}"),
                        source: io::Error::new(
                            io::ErrorKind::PermissionDenied,
                            "the server requires a password",
                        ),
                    });
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length).checked_sub(4);
        let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)? as usize];
        self.stream.read_exact(&mut body)?;
        Ok(Message { kind, body })
    }
}

impl Message {
    fn first_column(&self) -> Option<String> {
        let length = i32::from_be_bytes(self.body.get(2..6)?.try_into().ok()?);
        let value = self.body.get(6..6 + usize::try_from(length).ok()?)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn into_error(self, statement: &str) -> ServerError {
        let field = |code: u8| {
            let fields = self.body.split(|byte| *byte == 0);
            let value = fields
                .filter(|field| field.first() == Some(&code))
                .map(|field| &field[1..])
                .next();
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        ServerError::Statement {
            sqlstate: field(b'C'),
            message: field(b'M'),
            statement: statement.to_owned(),
        }
    }
}
