//! Standbys and replication slots.

use serde::{Deserialize, Serialize};

use super::monitoring::{PG_MONITOR, Thresholds, Warning, bytes, exceeds, seconds};

/// The standbys of the server, and its replication slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replication {
    /// True if the server itself is a standby.
    pub is_standby: bool,
    /// The time in seconds since the last transaction that a standby has replayed was committed.
    /// `None` on a primary, and on a standby that has replayed all that it has received.
    pub replay_delay_seconds: Option<f64>,
    /// The connected standbys, and others that receive the write-ahead log.
    pub standbys: Vec<StandbyState>,
    /// The replication slots.
    pub slots: Vec<SlotState>,
    /// The number of standbys whose state is hidden.
    pub hidden: u64,
}

/// A standby, as its primary sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StandbyState {
    /// The name that it gave itself.
    pub application: String,
    /// Its address; `None` for a Unix socket.
    pub client: Option<String>,
    /// The state, for example `streaming`. `None` if it is hidden.
    pub state: Option<String>,
    /// `async`, `sync`, `quorum` or `potential`.
    pub sync_state: Option<String>,
    /// The bytes of the write-ahead log that it has not replayed.
    pub lag_bytes: Option<u64>,
    /// The time in seconds by which its replay is behind. `None` if it has replayed everything.
    pub lag_seconds: Option<f64>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlotState {
    /// The name.
    pub name: String,
    /// `physical` or `logical`.
    pub kind: String,
    /// True if a standby or a subscriber uses it.
    pub is_active: bool,
    /// The bytes of the write-ahead log that the server keeps for it.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// The age in transactions of the rows that VACUUM keeps for it.
    pub xmin_age: Option<u64>,
}

impl Replication {
    /// Returns the role that is needed to see the hidden state. `None` if none is hidden.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        (self.hidden > 0).then_some(PG_MONITOR)
    }

    /// Returns what exceeds the thresholds: `replication_bytes`, `replication_delay`, `slot_bytes`
    /// and `slot_lost`.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let behind = "check the network and the load of the standby";
        for standby in &self.standbys {
            let name = &standby.application;
            let lag = standby.lag_bytes.unwrap_or(0);
            if lag > thresholds.replication_bytes {
                warnings.push(Warning::new("replication_bytes", name, bytes(lag), behind));
            }
            if let Some(delay) = exceeds(standby.lag_seconds, thresholds.replication_delay) {
                warnings.push(Warning::new(
                    "replication_delay",
                    name,
                    seconds(delay),
                    behind,
                ));
            }
        }
        if let Some(delay) = exceeds(self.replay_delay_seconds, thresholds.replication_delay) {
            let delay = seconds(delay);
            warnings.push(Warning::new(
                "replication_delay",
                "this standby",
                delay,
                behind,
            ));
        }
        for slot in &self.slots {
            let retained = slot.retained_bytes.unwrap_or(0);
            if slot.wal_status.as_deref() == Some("lost") {
                let advice = "drop the slot and make its standby again";
                warnings.push(Warning::new("slot_lost", &slot.name, "lost", advice));
            } else if retained > thresholds.slot_bytes {
                let advice = "drop the slot if nothing uses it; set max_slot_wal_keep_size";
                warnings.push(Warning::new(
                    "slot_bytes",
                    &slot.name,
                    bytes(retained),
                    advice,
                ));
            }
        }
        warnings
    }
}
