//! A private Redis server.

use super::ServerError;
use super::binaries::redis_server;
use super::directory::{PrivateDirectory, Purpose};
use super::process::{Ending, ServerProcess, free_port, tail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How to start a [`RedisServer`].
#[derive(Clone, Default)]
#[must_use]
pub struct RedisServerBuilder {
    settings: Vec<(String, String)>,
    password: Option<String>,
    persistent: bool,
    tcp: bool,
}

impl RedisServerBuilder {
    /// A line of `redis.conf`: a directive and its arguments, written as there (`setting("save", "3600 1 300 100")`). It
    /// comes after those of this module.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Asks every client for this password. The URLs contain it.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The most memory the data may take, in bytes. What happens then is the setting `maxmemory-policy`.
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.setting("maxmemory", bytes.to_string())
    }

    /// Writes every change to an append-only file before it is acknowledged, so that the data is there again after
    /// [`restart`](RedisServer::restart). It still goes with the server.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Also listens on a free port of 127.0.0.1. Any user of the machine can then connect.
    pub fn listen_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Starts the server and waits until it answers, at most 60 seconds.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`] or [`ServerError::Override`] when there is no `redis-server`,
    /// [`ServerError::Setting`] when a setting or the password has a line break, [`ServerError::Start`] when the server
    /// does not come up, for instance because of a setting it does not know, and [`ServerError::Io`].
    pub fn start(&self) -> Result<RedisServer, ServerError> {
        const ATTEMPTS: usize = 5;
        let program = redis_server()?;
        let mut attempt = 1;
        loop {
            match self.start_once(&program) {
                // Another program took the port that was free.
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
        // Nothing outlives the server, so there is nothing to end in order.
        let process = ServerProcess::new(&directory.path, Ending::KILL)?;
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
                    reason: "it has a line break",
                });
            }
            text.push_str(&format!("{name} {value}\n"));
        }
        Ok(text)
    }
}

/// A private Redis server, stopped and removed with its process. It starts empty and does not write to disk.
pub struct RedisServer {
    program: PathBuf,
    directory: PathBuf,
    port: Option<u16>,
    password: Option<String>,
    process: Mutex<ServerProcess>,
}

impl RedisServer {
    /// How to start a server with other settings.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// Starts an empty server without a password.
    ///
    /// # Errors
    /// See [`RedisServerBuilder::start`].
    pub fn start() -> Result<RedisServer, ServerError> {
        Self::builder().start()
    }

    /// The URL over the Unix socket, `redis+unix:///...`, as redis-rs takes it.
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

    /// The URL over TCP, `redis://127.0.0.1:...`, if the server was started with
    /// [`listen_tcp`](RedisServerBuilder::listen_tcp).
    #[must_use]
    pub fn tcp_url(&self) -> Option<String> {
        self.port
            .map(|port| self.url_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// The URL of this server at an address that leads to it.
    pub(super) fn url_at(&self, address: SocketAddr) -> String {
        let password = self
            .password
            .iter()
            .map(|password| format!(":{}@", encode(password)))
            .collect::<String>();
        format!("redis://{password}{address}")
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// The directory with what the server writes: `dump.rdb`, the append-only files and its log.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.directory
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.log_file(), 0)
    }

    /// The server's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().pid()
    }

    /// Ends the server with SIGKILL, if it runs. Its socket and URLs are the same after [`restart`](Self::restart).
    pub fn kill(&self) {
        self.process().stop(Ending::KILL);
    }

    /// Starts the server again, after a [`kill`](Self::kill) if it runs. It is empty then, unless it is
    /// [`persistent`](RedisServerBuilder::persistent) or has a `dump.rdb`.
    ///
    /// # Errors
    /// [`ServerError::Start`] when it does not come up, and [`ServerError::Io`].
    pub fn restart(&self) -> Result<(), ServerError> {
        let mut process = self.process();
        process.stop(Ending::KILL);
        self.launch(&mut process)
    }

    /// Makes the server stand still (SIGSTOP): connections are made, but nothing is answered until
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`ServerError::Io`] when the signal cannot be sent.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.process().signal("STOP")
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// [`ServerError::Io`] when the signal cannot be sent.
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
        // What a killed server left would refuse connections, and look like a start that fails.
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(&self.program);
        command
            .arg(self.directory.join("redis.conf"))
            .current_dir(&self.directory)
            .env("LC_ALL", "C");
        process.launch(&mut command, &self.log_file(), |_| {
            answers(&socket, self.password.as_deref()).unwrap_or(false)
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

/// Whether the server serves: it does not while it still loads its data, which it only tells who has logged in.
fn answers(socket: &Path, password: Option<&str>) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut answer = String::new();
    if let Some(password) = password {
        write!(
            stream,
            "*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n",
            password.len()
        )?;
        answers.read_line(&mut answer)?;
        answer.clear();
    }
    stream.write_all(b"PING\r\n")?;
    answers.read_line(&mut answer)?;
    // A setting may ask for a password that is not known here.
    Ok(answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}

fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
