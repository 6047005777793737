//! Whether the disk has room for what is to be stored.
//!
//! A disk that runs full would refuse the journal something that is half done. Before it comes to that, what
//! would store something is refused; reading goes on, and everything goes on as soon as there is room.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use remotelab_store::housekeeping;

/// How long the disk is not asked again.
const FRESH: Duration = Duration::from_secs(1);

/// Room on one disk.
#[derive(Debug)]
pub(crate) struct Room {
    folder: PathBuf,
    /// What is to stay free (bytes).
    floor: u64,
    looked: Mutex<Option<(Instant, bool)>>,
}

impl Room {
    pub(crate) fn below(folder: &Path, floor: u64) -> Self {
        Self { folder: folder.to_owned(), floor, looked: Mutex::default() }
    }

    /// What was found lately, if somebody looked.
    pub(crate) fn known(&self) -> Option<bool> {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, is_left)| is_left)
    }

    /// Asks the disk. Blocks.
    pub(crate) fn look(&self) -> bool {
        let is_left = self.floor == 0 || housekeeping::free(&self.folder) >= self.floor;
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), is_left));
        is_left
    }
}
