//! A server's process, and the watchdog that ends it if this process dies.

use super::ServerError;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time limit for a server to accept connections.
const READY_WITHIN: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(2);

/// The script of the watchdog.
///
/// It reads the server's process id from each line; an empty line means none. It ends the server
/// when the pipe closes, which happens when the process at its other end ends. Its arguments are
/// the signal, the tenths of a second until SIGKILL, a directory to remove or an empty string, and
/// the path of a named pipe to read from or an empty string.
///
/// Several processes may have a named pipe open. One that opens it while the script receives its
/// end is waited for, since the script reads on after it has removed the name.
///
/// A dead server without a waiting parent stays in the process table, in a container for ever. The
/// script therefore reads the process's state if there is /proc.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
runs() {
    kill -0 "$pid" 2>/dev/null || return 1
    state=
    { read -r _ _ state _ <"/proc/$pid/stat"; } 2>/dev/null
    [ "$state" != Z ]
}
[ -z "$4" ] || exec <"$4"
pid=
while read -r line; do pid=$line; done
if [ -n "$4" ]; then
    rm -f -- "$4"
    while read -r line; do pid=$line; done
fi
if [ -n "$pid" ] && kill -s "$1" "$pid" 2>/dev/null; then
    waited=0
    while runs; do
        if [ "$waited" -ge "$2" ]; then kill -s KILL "$pid" 2>/dev/null; break; fi
        sleep 0.1
        waited=$((waited + 1))
    done
fi
[ -z "$3" ] || rm -rf -- "$3"
[ -z "$4" ] || [ -e "$4" ] || rm -rf -- "${4%/*}"
"#;

/// The name of a signal, and the time that the server may take to end before SIGKILL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) signal: &'static str,
    pub(super) patience: Duration,
}

impl Ending {
    pub(super) const KILL: Ending = Ending {
        signal: "KILL",
        patience: Duration::ZERO,
    };
}

/// At most one running server, with a directory that is removed at the end.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Option<Child>,
    watchdog: Child,
    /// The pipe from which the watchdog reads.
    pipe: Option<fs::File>,
    directory: PathBuf,
    ending: Ending,
}

impl ServerProcess {
    /// Starts the watchdog. The watchdog and `drop` end the server by `ending`.
    ///
    /// With `users`, a named pipe that other processes open too, the watchdog ends the server after
    /// the last of them.
    pub(super) fn new(
        directory: &Path,
        ending: Ending,
        users: Option<&Path>,
    ) -> Result<Self, ServerError> {
        // Opened before the watchdog opens it, which would wait. For reading too: it would wait
        // here otherwise.
        let users_pipe = match users {
            Some(path) => {
                let file = fs::File::options().read(true).write(true).open(path);
                Some(file.map_err(ServerError::io("open", path))?)
            }
            None => None,
        };
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "wundr-db-watchdog", ending.signal])
            .arg((ending.patience.as_millis() / 100).to_string())
            .arg(directory)
            .arg(users.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(if users.is_some() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            // The watchdog must not keep the pipes of this process open, since their reader would
            // wait for it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is sent to a process group. The watchdog survives it in a group of its own.
            .process_group(0)
            .spawn()
            .map_err(|source| {
                let _ = fs::remove_dir_all(directory);
                ServerError::Io {
                    action: "start /bin/sh as a watchdog".to_owned(),
                    source,
                }
            })?;
        let own_pipe = watchdog.stdin.take().map(OwnedFd::from).map(fs::File::from);
        Ok(Self {
            child: None,
            watchdog,
            pipe: users_pipe.or(own_pipe),
            directory: directory.to_owned(),
            ending,
        })
    }

    /// Starts the server and waits until `ready`, which receives the process id, returns true.
    ///
    /// The server's output is appended to `log`.
    pub(super) fn launch(
        &mut self,
        command: &mut Command,
        log: &Path,
        ready: impl Fn(u32) -> bool,
    ) -> Result<(), ServerError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(ServerError::io("open", log))?;
        let start_of_log = output.metadata().map_or(0, |metadata| metadata.len());
        let errors = output.try_clone().map_err(ServerError::io("open", log))?;
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let child = command
            .spawn()
            .map_err(ServerError::io("start", Path::new(&program)))?;
        let pid = child.id();
        self.child = Some(child);
        self.update_watchdog();

        let deadline = Instant::now() + READY_WITHIN;
        let reason = loop {
            if ready(pid) {
                return Ok(());
            }
            if let Some(status) = self.exit_status() {
                break format!("ended while starting ({status})");
            }
            if Instant::now() >= deadline {
                self.stop(Ending::KILL);
                break format!("was not ready after {} s", READY_WITHIN.as_secs());
            }
            sleep(POLL);
        };
        Err(ServerError::Start {
            program,
            reason,
            log: tail(log, start_of_log),
        })
    }

    /// Returns the process id if the server runs.
    pub(super) fn pid(&mut self) -> Option<u32> {
        self.exit_status();
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal, by its name without `SIG`, to the server if it runs.
    pub(super) fn signal(&mut self, name: &str) -> Result<(), ServerError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        // The shell's builtin `kill` always exists; the program may not.
        Command::new("/bin/sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map(drop)
            .map_err(|source| ServerError::Io {
                action: format!("send SIG{name} to process {pid}"),
                source,
            })
    }

    /// Ends the server and waits until it has ended.
    pub(super) fn stop(&mut self, ending: Ending) {
        if ending.patience > Duration::ZERO && self.signal(ending.signal).is_ok() {
            let deadline = Instant::now() + ending.patience;
            while self.exit_status().is_none() && self.child.is_some() && Instant::now() < deadline
            {
                sleep(POLL);
            }
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.update_watchdog();
        }
    }

    /// Returns the exit status once, when the server has ended.
    fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        self.update_watchdog();
        Some(status)
    }

    /// Sends the process id, or none, to the watchdog.
    ///
    /// The watchdog has an id only until this process has waited for it. After that, another
    /// process may get the same id.
    fn update_watchdog(&mut self) {
        let pid = self
            .child
            .as_ref()
            .map(|child| child.id().to_string())
            .unwrap_or_default();
        if let Some(pipe) = &mut self.pipe {
            let _ = writeln!(pipe, "{pid}");
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stop(self.ending);
        drop(self.pipe.take());
        let _ = self.watchdog.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns the last lines that were written to a log after the first `start` bytes.
pub(super) fn tail(log: &Path, start: u64) -> String {
    const LINES: usize = 30;
    let bytes = fs::read(log).unwrap_or_default();
    let new = bytes
        .get(usize::try_from(start).unwrap_or(0)..)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Returns a TCP port of 127.0.0.1 that was free a moment ago.
pub(super) fn free_port() -> Result<u16, ServerError> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| ServerError::Io {
            action: "find a free port of 127.0.0.1".to_owned(),
            source,
        })
}
