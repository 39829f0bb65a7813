//! One Redis server, and the scripts that run in it. Each is one atomic step.

use super::Flaw;

/// Keys of the model. A configuration may use only the first.
pub const KEYS: usize = 2;
/// A key.
pub type Key = usize;
/// The version of a row, which is how many writes to it were committed.
pub type Version = u8;
/// A generation: in earnest a random token, here a number that is never given twice.
pub type Generation = u8;
/// A transaction id. Only the writers' are counted, so the barrier `n` is greater than the `n` that
/// were assigned.
pub type Xid = u8;

/// `E(g)`: what is known about a generation, and the fences that were set in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    pub of: Generation,
    pub run: u8,
    pub barrier: Option<Xid>,
    pub open: bool,
    /// For each key a bit for each writer, whose index is its token.
    pub fences: [u8; KEYS],
}

/// The data of a server. `run` is its run_id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redis {
    pub run: u8,
    /// `G`.
    pub generation: Option<Generation>,
    /// `E(g)` of the newest `g`: those of older generations are out of every script's reach.
    pub epoch: Option<Epoch>,
    /// `V`, whose name holds its generation. One for each key: a newer generation's hides the older
    /// ones.
    pub values: [Option<(Generation, Version)>; KEYS],
    /// `L` of the present generation: the reader whose nonce it is.
    pub leases: [Option<usize>; KEYS],
}

/// The response of the lease script. `Lost` means that the generation is not what the client
/// believes.
#[derive(Clone, Copy)]
pub enum Lease {
    Lost,
    Closed,
    Fenced,
    Hit(Version),
    Held,
    Granted,
}

impl Redis {
    /// An empty server.
    pub fn started(run: u8) -> Self {
        Self {
            run,
            generation: None,
            epoch: None,
            values: [None; KEYS],
            leases: [None; KEYS],
        }
    }

    /// The beginning of every script: `G == g` and `E(g)` exists.
    fn live(&mut self, g: Generation) -> Option<&mut Epoch> {
        let current = self.generation == Some(g);
        self.epoch.as_mut().filter(|epoch| current && epoch.of == g)
    }

    /// Joins the generation that is there, or makes another if it is not one of this server's own.
    pub fn attach(&mut self, fresh: Generation, flaw: Option<Flaw>) -> Generation {
        let run = self.run;
        if let Some(g) = self.generation
            && let Some(epoch) = self.live(g)
            && (epoch.run == run || flaw == Some(Flaw::RestoredSnapshotAccepted))
        {
            return g;
        }
        self.renew(fresh, flaw)
    }

    /// Replaces the generation.
    pub fn renew(&mut self, fresh: Generation, flaw: Option<Flaw>) -> Generation {
        self.generation = Some(fresh);
        self.epoch = Some(Epoch {
            of: fresh,
            run: self.run,
            barrier: None,
            open: flaw == Some(Flaw::NoBarrier),
            fences: [0; KEYS],
        });
        self.leases = [None; KEYS];
        fresh
    }

    /// `MGET G V`.
    pub fn get(&self, g: Generation, key: Key, flaw: Option<Flaw>) -> Option<Version> {
        let current = self.generation == Some(g) || flaw == Some(Flaw::HitIgnoresGeneration);
        self.value(g, key).filter(|_| current)
    }

    fn value(&self, g: Generation, key: Key) -> Option<Version> {
        let named = self.values[key].filter(|(of, _)| *of == g);
        named.map(|(_, version)| version)
    }

    /// Asks for the right to fill.
    pub fn lease(&mut self, g: Generation, key: Key, reader: usize, flaw: Option<Flaw>) -> Lease {
        let Some(epoch) = self.live(g) else {
            return Lease::Lost;
        };
        if !epoch.open {
            return Lease::Closed;
        }
        if epoch.fences[key] != 0 && flaw != Some(Flaw::LeaseIgnoresFences) {
            return Lease::Fenced;
        }
        if let Some(version) = self.value(g, key) {
            return Lease::Hit(version);
        }
        if self.leases[key].is_some() {
            return Lease::Held;
        }
        self.leases[key] = Some(reader);
        Lease::Granted
    }

    /// Stores what a lease's holder has read, unless a writer came in between.
    pub fn fill(
        &mut self,
        g: Generation,
        key: Key,
        reader: usize,
        version: Version,
        flaw: Option<Flaw>,
    ) -> bool {
        let holder = self.leases[key] == Some(reader) || flaw == Some(Flaw::UnguardedFill);
        let ignores = flaw == Some(Flaw::FillIgnoresFences);
        match self.live(g) {
            Some(epoch) if holder && (epoch.fences[key] == 0 || ignores) => {}
            _ => return false,
        }
        self.values[key] = Some((g, version));
        self.leases[key] = None;
        true
    }

    /// Deletes the values and leases of the keys that a writer has touched, and sets its fence on
    /// them.
    pub fn begin(&mut self, g: Generation, keys: &[Key], writer: usize) -> bool {
        let Some(epoch) = self.live(g) else {
            return false;
        };
        for &key in keys {
            epoch.fences[key] |= 1 << writer;
        }
        self.delete(keys);
        true
    }

    /// `DEL V L`.
    pub fn delete(&mut self, keys: &[Key]) {
        for &key in keys {
            self.values[key] = None;
            self.leases[key] = None;
        }
    }

    /// Removes a writer's own fences, if the generation is still the one that they were set in: no
    /// other has its token.
    pub fn end(&mut self, keys: &[Key], writer: usize) {
        if let Some(g) = self.generation {
            self.clear(g, keys, writer);
        }
    }

    /// Removes the fences of a writer whose transaction has ended.
    pub fn clear(&mut self, g: Generation, keys: &[Key], writer: usize) {
        if let Some(epoch) = self.live(g) {
            for &key in keys {
                epoch.fences[key] &= !(1 << writer);
            }
        }
    }

    /// `HSETNX E(g) x`.
    pub fn set_barrier(&mut self, g: Generation, barrier: Xid, flaw: Option<Flaw>) {
        let run = self.run;
        if flaw == Some(Flaw::BarrierMakesEpoch) && self.generation == Some(g) {
            self.epoch.get_or_insert(Epoch {
                of: g,
                run,
                barrier: None,
                open: false,
                fences: [0; KEYS],
            });
        }
        if let Some(epoch) = self.live(g) {
            if flaw == Some(Flaw::NewerBarrierReplaces) {
                epoch.barrier = Some(barrier);
            }
            epoch.barrier.get_or_insert(barrier);
        }
    }

    /// A generation that is not open yet: what every `lease` answers then, with the barrier if
    /// there is one.
    pub fn closed(&mut self, g: Generation) -> Option<Option<Xid>> {
        let epoch = self.live(g).filter(|epoch| !epoch.open)?;
        Some(epoch.barrier)
    }

    /// Lets the generation be filled.
    pub fn open(&mut self, g: Generation) -> bool {
        self.live(g).map(|epoch| epoch.open = true).is_some()
    }

    /// Checks whether a writer has a fence on a key, in which case no `lease` is granted.
    pub fn fenced(&mut self, g: Generation, key: Key, writer: usize) -> bool {
        self.live(g)
            .is_some_and(|epoch| epoch.fences[key] & 1 << writer != 0)
    }
}
