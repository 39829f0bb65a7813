//! Chance that can be had again by its seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// SplitMix64, shared by threads.
pub struct Random(AtomicU64);

impl Random {
    pub const fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// True in so many of a thousand cases.
    pub fn in_a_thousand(&self, cases: u64) -> bool {
        self.below(1_000) < cases
    }

    /// A time up to so many milliseconds.
    pub fn within(&self, milliseconds: u64) -> Duration {
        Duration::from_micros(self.below(milliseconds * 1_000 + 1))
    }
}
