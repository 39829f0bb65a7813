//! The processes of a trial.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::random::Random;
use crate::settings::{Engine, Process};
use crate::worker::VARIABLE;

pub struct Workers {
    like: Process,
    running: Mutex<Vec<(Engine, Child)>>,
    started: Mutex<u32>,
    /// Makes the clock of a process another than the machine's, where the machine has it.
    faketime: Option<PathBuf>,
    /// By how much each clock is wrong, in a file with the process's place for its name.
    clocks: tempfile::TempDir,
}

/// The library that faketime puts between a program and the system's clock.
fn faketime() -> Option<PathBuf> {
    let below = |directory: &str| {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        entries.flatten().map(|entry| entry.path())
    };
    let mut places: Vec<PathBuf> = below("/usr/lib").chain(below("/usr/lib64")).collect();
    places.extend(["/usr/lib", "/usr/lib64"].map(PathBuf::from));
    let libraries = places
        .into_iter()
        .map(|place| place.join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists())
}

impl Workers {
    pub fn start(like: Process, engines: &[Engine]) -> Self {
        let workers = Self {
            like,
            running: Mutex::default(),
            started: Mutex::new(0),
            faketime: faketime(),
            clocks: tempfile::tempdir().unwrap(),
        };
        for (place, engine) in engines.iter().enumerate() {
            workers.set_clock(place, 0);
            let child = workers.spawn(*engine, place);
            workers.running().push((*engine, child));
        }
        workers
    }

    fn running(&self) -> MutexGuard<'_, Vec<(Engine, Child)>> {
        self.running.lock().unwrap()
    }

    /// Every process has a number of its own, also the one that takes another's place.
    fn spawn(&self, engine: Engine, place: usize) -> Child {
        let mut started = self.started.lock().unwrap();
        *started += 1;
        let process = Process {
            number: *started,
            engine,
            seed: self.like.seed.wrapping_add(u64::from(*started) << 32),
            ..self.like.clone()
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(library) = &self.faketime {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock(place))
                .env("FAKETIME_CACHE_DURATION", "1")
                // Only the calendar's clock steps.
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
            .env(VARIABLE, serde_json::to_string(&process).unwrap())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn clock(&self, place: usize) -> PathBuf {
        self.clocks.path().join(place.to_string())
    }

    /// Written apart, so that it is never read by halves.
    fn set_clock(&self, place: usize, seconds: i64) {
        let new = self.clocks.path().join("new");
        std::fs::write(&new, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(&new, self.clock(place)).unwrap();
    }

    /// Makes the clock of a process step by up to an hour, or back to the true time. Tells whether
    /// it can be done.
    pub fn step_clock(&self, chance: &Random) -> bool {
        let place = chance.below(self.running().len() as u64) as usize;
        let seconds = *chance.pick(&[0, 0, 2, -2, 45, -45, 3_600, -3_600]);
        self.set_clock(place, seconds);
        self.faketime.is_some()
    }

    /// Replaces the processes that have died, and returns their number.
    pub fn replace_dead(&self) -> u64 {
        let mut replaced = 0;
        for (place, (engine, child)) in self.running().iter_mut().enumerate() {
            if child.try_wait().unwrap().is_some() {
                *child = self.spawn(*engine, place);
                replaced += 1;
            }
        }
        replaced
    }

    pub fn kill_one(&self, chance: &Random) {
        let mut running = self.running();
        let place = chance.below(running.len() as u64) as usize;
        let _ = running[place].1.kill();
    }

    /// Makes one stand still for a while; it does not know.
    pub fn stop_one(&self, chance: &Random, time: Duration) {
        let signal = |name: &str, pid: u32| {
            let script = format!("kill -s {name} {pid}");
            let mut shell = Command::new("/bin/sh");
            // It may have died meanwhile.
            let _ = shell.args(["-c", &script]).stderr(Stdio::null()).status();
        };
        let pid = {
            // Held, so that the number is this process's as long as it is needed.
            let running = self.running();
            let pid = running[chance.below(running.len() as u64) as usize].1.id();
            signal("STOP", pid);
            pid
        };
        std::thread::sleep(time);
        signal("CONT", pid);
    }

    pub fn kill_all(&self) {
        for (_, child) in self.running().iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.kill_all();
    }
}
