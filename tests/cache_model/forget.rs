//! Forgets what can no longer matter, so that states that differ in nothing else are one.

use super::Cache;
use super::processes::{READERS, Reading, State};
use super::scripts::{Generation, KEYS, Redis};

impl State {
    /// A generation that no process holds. One that is forgotten everywhere can as well be given
    /// again.
    pub fn fresh_generation(&self) -> Generation {
        let mut held = Vec::new();
        let mut servers = vec![&self.redis];
        servers.extend(&self.saved);
        for redis in servers {
            held.extend(redis.generation);
            held.extend(redis.epoch.map(|epoch| epoch.of));
            held.extend(redis.values.iter().flatten().map(|(g, _)| *g));
        }
        for reader in &self.readers {
            held.extend(reader.connection.map(|c| c.generation));
            held.extend(reader.reading.generation());
        }
        held.extend(
            self.writers
                .iter()
                .filter_map(|w| Some(w.connection?.generation)),
        );
        (1..).find(|g| !held.contains(g)).unwrap_or(0)
    }

    /// A run_id that no process holds.
    pub fn fresh_run(&self) -> u8 {
        let mut held = vec![self.redis.run];
        held.extend(self.redis.epoch.map(|epoch| epoch.run));
        if let Some(saved) = &self.saved {
            held.push(saved.run);
            held.extend(saved.epoch.map(|epoch| epoch.run));
        }
        held.extend(self.readers.iter().filter_map(|r| Some(r.connection?.run)));
        held.extend(self.writers.iter().filter_map(|w| Some(w.connection?.run)));
        (0..).find(|run| !held.contains(run)).unwrap_or(0)
    }

    /// Returns the simplest of the states that cannot be distinguished from this one.
    pub fn forget(&mut self, cache: &Cache) {
        self.forget_past_generations();
        self.count_versions_anew();
        self.count_xids_anew();
        self.sort(cache);
    }

    /// A connection to a server that is gone, and one by which every script answers that the
    /// generation is lost, are as good as none, whether or not the client has noticed. What was
    /// begun in a past generation comes to nothing.
    fn forget_past_generations(&mut self) {
        let Redis {
            run,
            generation: present,
            ..
        } = self.redis;
        let connections = self.readers.iter_mut().map(|r| &mut r.connection);
        for connection in connections.chain(self.writers.iter_mut().map(|w| &mut w.connection)) {
            *connection = connection.filter(|c| c.run == run && Some(c.generation) == present);
        }
        for reader in 0..self.readers.len() {
            let g = self.readers[reader].reading.generation();
            if g.is_some() && g != present {
                self.abandon(reader);
                self.readers[reader].reading = Reading::Idle;
            }
        }
        self.redis.forget_past_generations();
        self.saved
            .iter_mut()
            .for_each(Redis::forget_past_generations);
        if self.saved.is_none() {
            self.redis.run = 0;
            if let Some(epoch) = &mut self.redis.epoch {
                epoch.run = u8::from(epoch.run != run);
            }
            let connections = self.readers.iter_mut().map(|r| &mut r.connection);
            let connections = connections.chain(self.writers.iter_mut().map(|w| &mut w.connection));
            connections
                .flatten()
                .for_each(|connection| connection.run = 0);
        }
    }

    /// Only the order of versions matters.
    fn count_versions_anew(&mut self) {
        for key in 0..KEYS {
            let mut versions = vec![&mut self.database[key], &mut self.acknowledged[key]];
            versions.extend(self.redis.values[key].as_mut().map(|(_, version)| version));
            if let Some(saved) = &mut self.saved {
                versions.extend(saved.values[key].as_mut().map(|(_, version)| version));
            }
            versions.extend(self.writers.iter_mut().map(|w| &mut w.versions[key]));
            for reader in &mut self.readers {
                match &mut reader.reading {
                    Reading::Peeked(of, version)
                    | Reading::Read(of, _, version)
                    | Reading::Filled(of, version, _)
                    | Reading::Waiting(of, version)
                        if *of == key =>
                    {
                        versions.push(version);
                    }
                    _ => {}
                }
            }
            let mut order: Vec<_> = versions.iter().map(|version| **version).collect();
            order.sort_unstable();
            order.dedup();
            for version in versions {
                *version = order.partition_point(|other| *other < *version) as u8;
            }
        }
    }

    /// Only the order of running transactions and barriers matters.
    fn count_xids_anew(&mut self) {
        let running = self.writers.iter().filter(|w| w.running);
        let mut running: Vec<_> = running.filter_map(|w| w.xid).collect();
        running.sort_unstable();
        let below = |xid: &mut u8| *xid = running.partition_point(|other| *other < *xid) as u8;
        for writer in &mut self.writers {
            writer.xid = writer.xid.filter(|_| writer.running);
            writer.xid.as_mut().map(below);
        }
        for reader in &mut self.readers {
            if let Reading::Barrier(_, barrier) = &mut reader.reading {
                below(barrier);
            }
        }
        for redis in [&mut self.redis].into_iter().chain(&mut self.saved) {
            redis
                .epoch
                .iter_mut()
                .filter_map(|e| e.barrier.as_mut())
                .for_each(below);
        }
        below(&mut self.next_xid);
    }

    /// Readers are alike, and so are writers of the same keys.
    fn sort(&mut self, cache: &Cache) {
        if cache.readers == READERS && self.readers[0] > self.readers[1] {
            self.readers.swap(0, 1);
            for redis in [&mut self.redis].into_iter().chain(&mut self.saved) {
                redis
                    .leases
                    .iter_mut()
                    .flatten()
                    .for_each(|reader| *reader = 1 - *reader);
            }
        }
        if let [one, other] = cache.writes
            && one == other
            && self.writers[0] > self.writers[1]
        {
            self.writers.swap(0, 1);
            for redis in [&mut self.redis].into_iter().chain(&mut self.saved) {
                for fences in redis.epoch.iter_mut().flat_map(|epoch| &mut epoch.fences) {
                    *fences = *fences >> 1 | (*fences & 1) << 1;
                }
            }
            for reader in &mut self.readers {
                if let Reading::Clearing(_, _, writer) = &mut reader.reading {
                    *writer = 1 - *writer;
                }
            }
        }
    }
}

impl Redis {
    fn forget_past_generations(&mut self) {
        let present = self.generation;
        self.epoch = self.epoch.filter(|epoch| Some(epoch.of) == present);
        for value in &mut self.values {
            *value = value.filter(|(g, _)| Some(*g) == present);
        }
        if self.epoch.is_none() {
            self.leases = [None; KEYS];
        }
    }
}

impl Reading {
    fn generation(self) -> Option<Generation> {
        match self {
            Self::Granted(_, g)
            | Self::Read(_, g, _)
            | Self::Barrier(g, _)
            | Self::Opening(g)
            | Self::Clearing(g, ..) => Some(g),
            _ => None,
        }
    }
}
