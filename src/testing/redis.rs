//! A private Redis server.

use super::ServerError;
use super::directory::{PrivateDirectory, Purpose};
use super::process::{Ending, ServerProcess, free_port, tail};
use super::programs::redis_server;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A builder of [`RedisServer`]s.
#[derive(Clone, Default)]
#[must_use]
pub struct RedisServerBuilder {
    settings: Vec<(String, String)>,
    password: Option<String>,
    persistent: bool,
    tcp: bool,
}

impl RedisServerBuilder {
    /// Adds a line of `redis.conf`: a directive and its arguments in the file's syntax, as in
    /// `setting("save", "3600 1 300 100")`.
    ///
    /// It is placed after this module's own lines.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Requires this password of every client. The URLs contain it.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the most memory that the data may use, in bytes. The setting `maxmemory-policy`
    /// determines what happens then.
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.setting("maxmemory", bytes.to_string())
    }

    /// Writes every change to an append-only file before it is acknowledged, so that the data
    /// survives a [`restart`](RedisServer::restart).
    ///
    /// The data is still removed with the server.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Makes the server also listen on a free port of 127.0.0.1. Any user of the machine can then
    /// connect.
    pub fn listen_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Starts the server and waits until it responds, at most 60 seconds.
    ///
    /// # Errors
    /// - [`ServerError::NotInstalled`] or [`ServerError::Override`] if there is no `redis-server`
    /// - [`ServerError::Setting`] if a setting or the password contains a line break
    /// - [`ServerError::Start`] if the server does not start, for example because of an unknown
    ///   setting
    /// - [`ServerError::Io`]
    pub fn start(&self) -> Result<RedisServer, ServerError> {
        const ATTEMPTS: usize = 5;
        let program = redis_server()?;
        let mut attempt = 1;
        loop {
            match self.start_once(&program) {
                // Another program has taken the free port in the meantime.
                Err(ServerError::Start { log, .. })
                    if self.tcp && attempt < ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn start_once(&self, program: &Path) -> Result<RedisServer, ServerError> {
        let directory = PrivateDirectory::create("wundr-db-redis-", Purpose::Scratch, None)?;
        // Nothing survives the server, so it need not end cleanly.
        let process = ServerProcess::new(&directory.path, Ending::KILL, None)?;
        let server = RedisServer {
            program: program.to_owned(),
            port: if self.tcp { Some(free_port()?) } else { None },
            password: self.password.clone(),
            directory: directory.path,
            process: Mutex::new(process),
        };
        let configuration = server.directory.join("redis.conf");
        fs::write(&configuration, self.configuration(&server)?)
            .map_err(ServerError::io("write", &configuration))?;
        server.launch(&mut server.process())?;
        Ok(server)
    }

    fn configuration(&self, server: &RedisServer) -> Result<String, ServerError> {
        let (append, sync) = if self.persistent {
            ("yes", "always")
        } else {
            ("no", "no")
        };
        let mut lines = vec![
            ("port", server.port.unwrap_or(0).to_string()),
            ("bind", "127.0.0.1".to_owned()),
            ("unixsocket", quote(&server.socket().to_string_lossy())),
            ("dir", quote(&server.directory.to_string_lossy())),
            ("daemonize", "no".to_owned()),
            ("save", "\"\"".to_owned()),
            ("appendonly", append.to_owned()),
            ("appendfsync", sync.to_owned()),
        ];
        lines.extend(
            self.password
                .iter()
                .map(|password| ("requirepass", quote(password))),
        );
        lines.extend(self.settings.iter().map(|(name, value)| {
            (
                name.as_str(),
                if value.is_empty() {
                    "\"\"".to_owned()
                } else {
                    value.clone()
                },
            )
        }));
        let mut text = String::new();
        for (name, value) in lines {
            if name.contains(['\n', '\r']) || value.contains(['\n', '\r']) {
                return Err(ServerError::Setting {
                    name: name.to_owned(),
                    reason: "it contains a line break",
                });
            }
            text.push_str(&format!("{name} {value}\n"));
        }
        Ok(text)
    }
}

/// A private Redis server, which is stopped and removed at the end of the process.
///
/// It starts empty and does not write to disk.
pub struct RedisServer {
    program: PathBuf,
    directory: PathBuf,
    port: Option<u16>,
    password: Option<String>,
    process: Mutex<ServerProcess>,
}

impl RedisServer {
    /// Creates a builder for a server with other settings.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// Starts an empty server without a password.
    ///
    /// # Errors
    /// The same as [`RedisServerBuilder::start`].
    pub fn start() -> Result<RedisServer, ServerError> {
        Self::builder().start()
    }

    /// Returns the URL over the Unix socket, `redis+unix:///...`, in redis-rs's form.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self.socket();
        let password = self
            .password
            .iter()
            .map(|password| format!("?pass={}", encode(password)));
        format!(
            "redis+unix://{}{}",
            socket.display(),
            password.collect::<String>()
        )
    }

    /// Returns the URL over TCP, `redis://127.0.0.1:...`, if the server was started with
    /// [`listen_tcp`](RedisServerBuilder::listen_tcp).
    #[must_use]
    pub fn tcp_url(&self) -> Option<String> {
        self.port
            .map(|port| self.url_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Returns the URL of this server at an address that leads to it.
    pub(super) fn url_at(&self, address: SocketAddr) -> String {
        let password = self
            .password
            .iter()
            .map(|password| format!(":{}@", encode(password)))
            .collect::<String>();
        format!("redis://{password}{address}")
    }

    /// Returns the path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// Returns the directory of the files that the server writes: `dump.rdb`, the append-only files
    /// and its log.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.directory
    }

    /// Returns the last lines of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.log_file(), 0)
    }

    /// Returns the server's process id if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().pid()
    }

    /// Ends the server with SIGKILL, if it runs. Its socket and URLs stay the same after
    /// [`restart`](Self::restart).
    pub fn kill(&self) {
        self.process().stop(Ending::KILL);
    }

    /// Starts the server again, after a [`kill`](Self::kill) if it runs.
    ///
    /// It is then empty, unless it is [`persistent`](RedisServerBuilder::persistent) or has a
    /// `dump.rdb`.
    ///
    /// # Errors
    /// - [`ServerError::Start`] if it does not start
    /// - [`ServerError::Io`] if the system refuses a file or a process
    pub fn restart(&self) -> Result<(), ServerError> {
        let mut process = self.process();
        process.stop(Ending::KILL);
        self.launch(&mut process)
    }

    /// Stops the server's process (SIGSTOP) until [`resume`](Self::resume).
    ///
    /// Connections are accepted, but no command gets a response.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if the signal cannot be sent
    pub fn pause(&self) -> Result<(), ServerError> {
        self.process().signal("STOP")
    }

    /// Continues a stopped server.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if the signal cannot be sent
    pub fn resume(&self) -> Result<(), ServerError> {
        self.process().signal("CONT")
    }

    fn process(&self) -> MutexGuard<'_, ServerProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    fn launch(&self, process: &mut ServerProcess) -> Result<(), ServerError> {
        let socket = self.socket();
        // The socket of a killed server would reject connections, and look like a failed start.
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(&self.program);
        command
            .arg(self.directory.join("redis.conf"))
            .current_dir(&self.directory)
            .env("LC_ALL", "C");
        process.launch(&mut command, &self.log_file(), |_| {
            is_ready(&socket, self.password.as_deref()).unwrap_or(false)
        })
    }
}

impl std::fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisServer")
            .field("socket", &self.socket())
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RedisServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut builder = f.debug_struct("RedisServerBuilder");
        builder
            .field("settings", &self.settings)
            .field("persistent", &self.persistent)
            .field("tcp", &self.tcp);
        builder.finish_non_exhaustive()
    }
}

/// Checks whether the server executes commands.
///
/// It does not while it loads its data, which it reports only to authenticated clients.
fn is_ready(socket: &Path, password: Option<&str>) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut response = String::new();
    if let Some(password) = password {
        write!(
            stream,
            "*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n",
            password.len()
        )?;
        reader.read_line(&mut response)?;
        response.clear();
    }
    stream.write_all(b"PING\r\n")?;
    reader.read_line(&mut response)?;
    // A setting of the caller may require a password that is unknown here.
    Ok(response.starts_with("+PONG") || response.starts_with("-NOAUTH"))
}

fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
