//! The thread that owns the journal file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use remotelab_config::atomic;
use tokio::sync::oneshot;

use super::record::{self, Op, Transaction};
use super::{Error, journal_files};

/// A journal file that has grown past this is replaced: what a start after a crash has to carry out
/// again stays small.
const FILE_LIMIT: u64 = 1 << 20;

/// How many transactions share one sync.
const BATCH: usize = 256;

/// A transaction and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
    /// Whether this is the last one: the journal is then emptied.
    pub(super) last: bool,
}

/// Starts the writer's thread; it ends when every handle on the journal is gone.
pub(super) fn start(
    root: PathBuf,
    folder: PathBuf,
    requests: Receiver<Request>,
    applied: Arc<AtomicU64>,
) -> io::Result<()> {
    let file = create(&folder, 1)?;
    let mut writer = Writer { root, folder, file, number: 1, length: 0, applied, refused: None };
    std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&requests))?;
    Ok(())
}

/// Carries out a transaction's file writes.
pub(super) fn apply(root: &Path, transaction: &Transaction) -> io::Result<()> {
    transaction.ops().iter().try_for_each(|op| match op {
        Op::Put { path, bytes } => put(&root.join(path), bytes),
        Op::WriteAt { path, offset, bytes } => write_at(&root.join(path), *offset, bytes),
    })
}

/// Makes everything on the root's file system durable.
pub(super) fn sync_file_system(root: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(root)?)?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = root;
        rustix::fs::sync();
    }
    Ok(())
}

struct Writer {
    root: PathBuf,
    folder: PathBuf,
    file: File,
    number: u64,
    length: u64,
    applied: Arc<AtomicU64>,
    refused: Option<Error>,
}

impl Writer {
    fn run(&mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut batch = vec![first];
            batch.extend(requests.try_iter().take(BATCH - 1));
            let outcome = self.commit(&batch);
            self.applied.fetch_add(batch.len() as u64, Ordering::SeqCst);
            let last = batch.iter().any(|request| request.last);
            if last && outcome.is_ok() {
                retire(&self.root, &self.folder, u64::MAX);
            }
            for request in batch {
                // The caller may have stopped waiting; the change stands all the same.
                let _ = request.done.send(outcome.clone());
            }
            if last {
                return;
            }
            if outcome.is_ok() && self.length > FILE_LIMIT {
                self.rotate();
            }
        }
    }

    fn commit(&mut self, batch: &[Request]) -> Result<(), Error> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        self.try_commit(batch).map_err(|error| {
            // Memory is now ahead of the disk: accept nothing until a restart reads the disk again.
            tracing::error!(%error, "storage refused a write; restart the instance after making room");
            let _ = self.file.set_len(self.length);
            let error = Error::Refused(error.to_string().into());
            self.refused = Some(error.clone());
            error
        })
    }

    fn try_commit(&mut self, batch: &[Request]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for request in batch.iter().filter(|request| !request.transaction.is_empty()) {
            record::encode(&request.transaction, &mut bytes);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        batch.iter().try_for_each(|request| apply(&self.root, &request.transaction))
    }

    /// Begins a new file and retires the old ones once their writes are durable by themselves.
    fn rotate(&mut self) {
        match create(&self.folder, self.number + 1) {
            Ok(file) => (self.file, self.number, self.length) = (file, self.number + 1, 0),
            Err(error) => return tracing::warn!(%error, "cannot begin a new journal file"),
        }
        let (root, folder, current) = (self.root.clone(), self.folder.clone(), self.number);
        let retiring = move || retire(&root, &folder, current);
        if let Err(error) = std::thread::Builder::new().name("journal-retire".into()).spawn(retiring) {
            tracing::warn!(%error, "cannot retire old journal files");
        }
    }
}

/// Deletes the files before a number once what they tell is durable by itself.
fn retire(root: &Path, folder: &Path, before: u64) {
    let retired = sync_file_system(root).and_then(|()| {
        let old = journal_files(folder)?.into_iter().filter(|(number, _)| *number < before);
        old.map(|(_, path)| path).try_for_each(fs::remove_file)
    });
    if let Err(error) = retired {
        tracing::warn!(%error, "cannot retire old journal files");
    }
}

fn create(folder: &Path, number: u64) -> io::Result<File> {
    let path = folder.join(format!("{number:09}.wal"));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    atomic::sync_dir(folder)?;
    Ok(file)
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Only this thread writes these files, so one fixed name beside each is enough.
    let temporary = path.with_added_extension("new");
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut file = with_parent(path, open)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = with_parent(path, open)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    file.set_len(offset + bytes.len() as u64)
}

/// Opens a file, making its folder when that is what is missing.
fn with_parent(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().ok_or(error)?;
            atomic::create_private_dir(folder).map_err(|error| error.source)?;
            open()
        }
        outcome => outcome,
    }
}
