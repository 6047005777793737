//! `[log]`: who is told of requests that were served.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::file::Wrong;

/// Where requests are logged, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whether they are.
    pub access: bool,
    /// The file.
    pub file: PathBuf,
    /// Also to the system's journal.
    pub journal: bool,
    /// A longer file is put aside.
    pub max_bytes: u64,
    /// An older one, too.
    pub max_age: Duration,
    /// How many are kept aside.
    pub keep: u32,
    /// One of so many requests that went well is logged; what went wrong always is.
    pub sample: u32,
}

impl Log {
    /// Returns what holds where nothing is said.
    #[must_use]
    pub fn new(file: PathBuf, journal: bool) -> Self {
        Self {
            access: true,
            file,
            journal,
            max_bytes: 32 << 20,
            max_age: Duration::from_secs(7 * DAY),
            keep: 4,
            sample: 1,
        }
    }
}

const DAY: u64 = 24 * 3600;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    access: Option<bool>,
    max_mib: Option<u32>,
    max_days: Option<u32>,
    keep: Option<u32>,
    sample: Option<u32>,
}

impl Table {
    pub(super) fn lay_over(&self, log: &mut Log) -> Result<(), Wrong> {
        let one_of = [("max_mib", self.max_mib), ("max_days", self.max_days), ("sample", self.sample)];
        if let Some((key, _)) = one_of.iter().find(|(_, number)| *number == Some(0)) {
            return Err(Wrong::new(format!("log.{key}"), "is zero"));
        }
        if self.keep.is_some_and(|keep| keep > 100) {
            return Err(Wrong::new("log.keep", "is not 0–100"));
        }
        log.access = self.access.unwrap_or(log.access);
        log.max_bytes = self.max_mib.map_or(log.max_bytes, |mib| u64::from(mib) << 20);
        log.max_age = self.max_days.map_or(log.max_age, |days| Duration::from_secs(u64::from(days) * DAY));
        log.keep = self.keep.unwrap_or(log.keep);
        log.sample = self.sample.unwrap_or(log.sample);
        Ok(())
    }
}
