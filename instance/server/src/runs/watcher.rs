//! Word from the file system that there is something to read in a run's folder.

use std::path::Path;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher};
use remotelab_executor::runner;
use remotelab_protocol::RunId;

/// What happened in a run's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// More was printed.
    More,
    /// The run ended, or its runner did.
    Over,
}

/// Makes a watcher that tells what its runner changed in a run's folder, of those that it is given. Without a
/// run, word was lost: it may be any of them.
///
/// Reading tells nothing, nor does what the server writes there. Whoever follows a run does both, and would
/// otherwise wake itself.
pub(super) fn new(
    tell: impl Fn(Option<&RunId>, Word) + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        if event.need_rescan() {
            return tell(None, Word::Over);
        }
        for path in &event.paths {
            if let Some(word) = word(event.kind, path)
                && let Some(run) = run_of(path)
            {
                tell(Some(&run), word);
            }
        }
    })
}

fn word(kind: EventKind, path: &Path) -> Option<Word> {
    let name = path.file_name()?;
    match kind {
        // The kernel closes it for a runner that was killed, too.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            (name == runner::HELD_OPEN).then_some(Word::Over)
        }
        // A new name is told once more, as the end of the renaming.
        EventKind::Modify(
            ModifyKind::Metadata(_) | ModifyKind::Name(RenameMode::From | RenameMode::Both),
        ) => None,
        EventKind::Modify(_) if name == runner::RESULT => Some(Word::Over),
        EventKind::Modify(_) if runner::NEWS.iter().any(|news| name == *news) => Some(Word::More),
        _ => None,
    }
}

fn run_of(path: &Path) -> Option<RunId> {
    RunId::parse(path.parent()?.file_name()?.to_str()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::mpsc::{self, Receiver};
    use std::time::Duration;

    use notify::{RecursiveMode, Watcher as _};
    use remotelab_config::lock::FileLock;
    use remotelab_executor::SpoolReader;
    use remotelab_executor::runner::Settled;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct World {
        root: tempfile::TempDir,
        told: Receiver<(RunId, Word)>,
        _watcher: RecommendedWatcher,
    }

    impl World {
        fn with(runs: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            let (tell, told) = mpsc::channel();
            // The test may be over before the last word.
            let mut watcher =
                new(move |run, word| drop(tell.send((run.expect("no word is lost").clone(), word)))).unwrap();
            for run in runs {
                let folder = root.path().join(run);
                fs::create_dir(&folder).unwrap();
                for file in ["runner.lock", "spool.jsonl", "started"] {
                    fs::write(folder.join(file), "").unwrap();
                }
                watcher.watch(&folder, RecursiveMode::NonRecursive).unwrap();
            }
            Self { root, told, _watcher: watcher }
        }

        fn folder(&self, run: &str) -> PathBuf {
            self.root.path().join(run)
        }

        fn told(&self) -> (String, Word) {
            let (run, word) = self.told.recv_timeout(PATIENCE).unwrap();
            (run.to_string(), word)
        }
    }

    #[test]
    fn what_the_server_does_in_a_folder_tells_nothing() {
        let [other, run] = ["run_000000000000000000000001", "run_000000000000000000000002"];
        let world = World::with(&[other, run]);
        let folder = world.folder(other);
        let lock = FileLock::try_acquire(&world.folder(run).join("runner.lock")).unwrap();

        fs::write(folder.join("status.json.new"), "{}").unwrap();
        fs::rename(folder.join("status.json.new"), folder.join("status.json")).unwrap();
        runner::request_cancel(&folder).unwrap();
        assert_eq!(runner::settle(&world.folder(run), false).unwrap(), Settled::Alive);
        assert_eq!(runner::report(&folder).unwrap(), None);
        assert_eq!(SpoolReader::open(&folder, 0).read_new(1 << 10).unwrap(), []);

        drop(lock);
        assert_eq!(world.told(), (run.to_owned(), Word::Over));
    }

    #[test]
    fn what_a_runner_does_is_told_once() {
        let run = "run_000000000000000000000001";
        let world = World::with(&[run]);
        let folder = world.folder(run);
        let mut spool = File::options().append(true).open(folder.join("spool.jsonl")).unwrap();
        let said = |word| (run.to_owned(), word);

        spool.write_all(b"{}\n").unwrap();
        assert_eq!(world.told(), said(Word::More));
        spool.sync_all().unwrap();
        drop(spool);
        fs::write(folder.join(".runner.json.tmp"), "{}").unwrap();
        fs::rename(folder.join(".runner.json.tmp"), folder.join("runner.json")).unwrap();
        assert_eq!(world.told(), said(Word::More));
        fs::write(folder.join(".result.json.tmp"), "{}").unwrap();
        fs::rename(folder.join(".result.json.tmp"), folder.join("result.json")).unwrap();
        assert_eq!(world.told(), said(Word::Over));
        fs::write(folder.join("other"), "").unwrap();
        assert_eq!(world.told.try_iter().collect::<Vec<_>>(), []);
    }
}
