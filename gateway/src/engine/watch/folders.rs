//! Notifications of changes in the folders of the registry and of service definitions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Definitions of all guests are mostly in one folder. Changes in others are found by looking.
const MOST: usize = 64;

/// The folders that are watched: files in them are replaced and not written to.
pub(super) struct Folders {
    watcher: RecommendedWatcher,
    registry: PathBuf,
    /// Beside the registry's.
    others: BTreeSet<PathBuf>,
}

impl Folders {
    /// Watches the registry's folder, in which only the registry itself is of interest.
    pub(super) fn watch(file: &Path, changed: &Arc<Notify>) -> notify::Result<Self> {
        let registry = file.parent().unwrap_or(Path::new("/")).to_owned();
        let (folder, file, changed) = (registry.clone(), file.to_owned(), Arc::clone(changed));
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let concerns = |path: &PathBuf| path.parent() != Some(&folder) || *path == file;
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns)) {
                changed.notify_one();
            }
        })?;
        watcher.watch(&registry, RecursiveMode::NonRecursive)?;
        Ok(Self { watcher, registry, others: BTreeSet::new() })
    }

    /// Watches these, too, and no more those of before.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) {
        let wanted: BTreeSet<PathBuf> =
            folders.iter().filter(|folder| **folder != self.registry).take(MOST).cloned().collect();
        for old in self.others.difference(&wanted) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(old);
        }
        let mut watched = BTreeSet::new();
        for folder in wanted {
            let known = self.others.contains(&folder);
            if known || self.watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                watched.insert(folder);
            }
        }
        self.others = watched;
    }
}
