//! The processes of a trial.

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
}

impl Workers {
    pub fn start(like: Process, engines: &[Engine]) -> Self {
        let workers = Self {
            like,
            running: Mutex::default(),
            started: Mutex::new(0),
        };
        for engine in engines {
            let child = workers.spawn(*engine);
            workers.running().push((*engine, child));
        }
        workers
    }

    fn running(&self) -> MutexGuard<'_, Vec<(Engine, Child)>> {
        self.running.lock().unwrap()
    }

    /// Every process has a number of its own, also the one that takes another's place.
    fn spawn(&self, engine: Engine) -> Child {
        let mut started = self.started.lock().unwrap();
        *started += 1;
        let process = Process {
            number: *started,
            engine,
            seed: self.like.seed.wrapping_add(u64::from(*started) << 32),
            ..self.like.clone()
        };
        Command::new(std::env::current_exe().unwrap())
            .env(VARIABLE, serde_json::to_string(&process).unwrap())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Starts others in the places of those that have died, and tells how many had.
    pub fn replace_dead(&self) -> u64 {
        let mut replaced = 0;
        for (engine, child) in self.running().iter_mut() {
            if child.try_wait().unwrap().is_some() {
                *child = self.spawn(*engine);
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
