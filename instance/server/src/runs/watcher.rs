//! Word from the file system that a run's folder changed.

use notify::{Event, RecommendedWatcher};
use remotelab_protocol::RunId;

/// Makes a watcher that tells which run's folder changed, of those that it is given.
///
/// Reading tells nothing. Whoever follows a run opens its files at each look, and would otherwise wake
/// itself for ever.
pub(super) fn new(changed: impl Fn(&RunId) + Send + 'static) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_access() {
            return;
        }
        let folders = event.paths.iter().filter_map(|path| path.parent()?.file_name()?.to_str());
        for run in folders.filter_map(|name| RunId::parse(name).ok()) {
            changed(&run);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::sync::mpsc;
    use std::time::Duration;

    use notify::{RecursiveMode, Watcher as _};
    use remotelab_executor::SpoolReader;
    use remotelab_executor::runner::{self, Settled};

    use super::*;

    #[test]
    fn a_look_at_a_run_is_no_change_of_it() {
        let root = tempfile::tempdir().unwrap();
        let [looked_at, written] = ["run_000000000000000000000001", "run_000000000000000000000002"];
        let folders = [looked_at, written].map(|run| root.path().join(run));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("runner.lock"), "").unwrap();
            fs::write(folder.join("spool.jsonl"), "").unwrap();
        }
        let [looked_into, written_into] = &folders;
        let mut spool = File::options().append(true).open(written_into.join("spool.jsonl")).unwrap();
        let (tell, told) = mpsc::channel();
        // The test may be over before the last word.
        let mut watcher = new(move |run| drop(tell.send(run.clone()))).unwrap();
        for folder in &folders {
            watcher.watch(folder, RecursiveMode::NonRecursive).unwrap();
        }

        assert_eq!(runner::settle(looked_into, false).unwrap(), Settled::NotStarted);
        assert_eq!(runner::report(looked_into).unwrap(), None);
        assert_eq!(SpoolReader::open(looked_into, 0).read_new(1 << 10).unwrap(), []);
        spool.write_all(b"{}\n").unwrap();

        let first = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(first, RunId::parse(written).unwrap());
    }
}
