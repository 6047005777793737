//! The store of one instance: all sessions, their journal and the lock on their folder.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use remotelab_config::lock::{self, FileLock};
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Run, RunId, Session, SessionId};
use serde_json::Value;

use crate::damage::{self, Damage};
use crate::history::relative;
use crate::index::{self, Folder};
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::{self, Commit, Files, Journal, Transaction};
use crate::session::{Draft, Ground, Held, SessionCell, State, pretty};
use crate::triggers::{self, Keys, Triggers};
use crate::{runs, sessions};

/// How long a start waits for the lock: a server that was killed while it started a process leaves the lock to
/// it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// All sessions of an instance. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Store {
    ground: Arc<Ground>,
    sessions: RwLock<BTreeMap<SessionId, Arc<SessionCell>>>,
    unreadable_rows: Vec<Value>,
    damaged: Vec<Damage>,
    /// How many sessions there were at the start, if index and export told of all of them.
    unchanged: Option<usize>,
    /// Held until the store is closed.
    lock: Mutex<Option<FileLock>>,
}

/// What opening found.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Transactions that a crash had left in the journal.
    pub replayed: usize,
    /// Files that could not be read; they were left alone.
    pub damaged: Vec<PathBuf>,
    /// Sessions taken over from `chat-sessions.json`.
    pub imported: usize,
}

/// Why a store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server has the folder.
    #[error("another server already uses {}", .0.display())]
    InUse(PathBuf),
    /// A file or folder cannot be used.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// The journal cannot be opened.
    #[error("cannot open the journal in {}", path.display())]
    Journal {
        /// The instance's folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A write was refused.
    #[error(transparent)]
    Write(#[from] journal::Error),
}

impl Store {
    /// Opens the folders of an instance, makes them when missing, and repairs what a crash left.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::InUse`] when another server lives there; otherwise when files cannot be used.
    pub fn open(paths: &InstancePaths) -> Result<(Self, Recovery), Error> {
        Self::open_on(RealDisk, paths)
    }

    pub(crate) fn open_on(disk: impl Disk, paths: &InstancePaths) -> Result<(Self, Recovery), Error> {
        let notes = ["tasks", "model-context"].map(|folder| paths.memory().join(folder));
        let own = [paths.config().to_owned(), paths.chat_history(), paths.chat_runs()];
        for folder in own.iter().chain(&notes) {
            atomic::create_private_dir(folder)?;
        }
        let lock = match FileLock::acquire(&paths.server_lock(), LOCK_PATIENCE) {
            Ok(lock) => lock,
            Err(lock::Error::Held(_)) => return Err(Error::InUse(paths.config().to_owned())),
            Err(lock::Error::File(error)) => return Err(error.into()),
        };
        let at_config = |source| Error::Journal { path: paths.config().to_owned(), source };
        let (journal, replayed) = Journal::open_on(disk, paths.config()).map_err(at_config)?;
        let mut loaded = sessions::load(paths).map_err(at_config)?;
        let taken_over: Vec<Commit> = loaded
            .imported
            .iter()
            .filter_map(|id| {
                let state = loaded.sessions.get_mut(id)?.open(paths, id);
                let mut transaction = Transaction::default();
                transaction.put(relative::session(id), pretty(&state.session));
                Some(journal.enqueue(transaction))
            })
            .collect();
        taken_over.into_iter().try_for_each(Commit::wait)?;
        let imported = loaded.imported.len();
        let ground = Arc::new(Ground { paths: paths.clone(), journal, triggers: Triggers::default() });
        let mut damaged = loaded.damaged;
        damaged.extend(replayed.damaged.into_iter().map(damage::of_journal));
        damaged.extend(sessions::damaged_rows(paths, loaded.unreadable_rows.len()));
        let mut keys = ground.triggers.lock();
        let cells = loaded.sessions.into_iter().map(|(id, mut held)| {
            if let Held::Open(state) = &mut held {
                state.active =
                    active_run(paths, ground.journal.files(), &state.session).unwrap_or_else(|damage| {
                        damaged.push(damage);
                        None
                    });
            }
            keys.replace(&id, None, held.key());
            (id.clone(), Arc::new(SessionCell::new(Arc::clone(&ground), id, held)))
        });
        let sessions: BTreeMap<_, _> = cells.collect();
        let unchanged = loaded.is_unchanged.then_some(sessions.len());
        drop(keys);
        let recovery = Recovery {
            replayed: replayed.transactions,
            damaged: damaged.iter().map(|damage| damage.path.clone()).collect(),
            imported,
        };
        let store = Self {
            ground,
            sessions: RwLock::new(sessions),
            unreadable_rows: loaded.unreadable_rows,
            damaged,
            unchanged,
            lock: Mutex::new(Some(lock)),
        };
        Ok((store, recovery))
    }

    /// Returns what could not be read when the store was opened; [`damage::scan`](crate::damage::scan)
    /// looks at everything.
    #[must_use]
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// The instance's folders.
    #[must_use]
    pub fn paths(&self) -> &InstancePaths {
        &self.ground.paths
    }

    /// The instance's files as they are once everything decided so far is carried out.
    #[must_use]
    pub fn files(&self) -> &Files {
        self.ground.journal.files()
    }

    /// Returns a session.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<Arc<SessionCell>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Returns all sessions in id order.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<SessionCell>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns the sessions that may have something to go on with, in id order. Asked at the start: it leaves out
    /// those of which the index told that they have not.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Arc<SessionCell>> {
        self.sessions().into_iter().filter(|cell| cell.is_open()).collect()
    }

    /// Understands all records, so that the first who asks for all of them need not wait. Blocks.
    pub fn open_records(&self) {
        self.sessions().iter().for_each(|cell| cell.with(|_| ()));
    }

    /// Returns the unarchived session that has an `externalTriggerId`.
    #[must_use]
    pub fn keyed(&self, key: &str) -> Option<Arc<SessionCell>> {
        self.find(&self.ground.triggers.lock(), Some(key))
    }

    /// Adds a session, unless an unarchived one has the same `externalTriggerId`: that one is then
    /// returned. Decided under one lock, so parallel calls agree.
    pub fn find_or_insert(&self, session: Session) -> (Arc<SessionCell>, Inserted) {
        let (cell, inserted) = self.find_or_insert_with(session, |_| ());
        (cell, inserted.map_or(Inserted::Found, |((), commit)| Inserted::New(commit)))
    }

    /// As [`Store::find_or_insert`], with a first change of the session: both are there or neither. `None` when
    /// the session was found; what `change` returned means nothing then. May read a file.
    pub fn find_or_insert_with<T>(
        &self,
        session: Session,
        change: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> (Arc<SessionCell>, Option<(T, Commit)>) {
        if let Some(cell) = self.find(&self.ground.triggers.lock(), triggers::key_of(&session)) {
            return (cell, None);
        }
        // Nobody else has it yet: changed before the lock that all creations share is taken.
        let state = State::new(session, HistoryMeta::default());
        let (cell, outcome, transaction) = SessionCell::begun(Arc::clone(&self.ground), state, change);
        let key = cell.with(|state| triggers::key_of(&state.session).map(str::to_owned));
        let mut keys = self.ground.triggers.lock();
        if let Some(cell) = self.find(&keys, key.as_deref()) {
            return (cell, None);
        }
        keys.replace(cell.id(), None, key.as_deref());
        let cell = Arc::new(cell);
        self.sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(cell.id().clone(), Arc::clone(&cell));
        let commit = self.ground.journal.enqueue(transaction);
        (cell, Some((outcome, commit)))
    }

    fn find(&self, keys: &Keys, key: Option<&str>) -> Option<Arc<SessionCell>> {
        key.and_then(|key| keys.find(key)).and_then(|id| self.session(id))
    }

    /// Reads a run's record, the active one from memory. Blocks.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub fn run(&self, id: &RunId) -> Result<Option<Run>, atomic::Error> {
        let Some(stored) = runs::load(self.files(), id)? else {
            return Ok(None);
        };
        let active = self
            .session(&stored.session_id)
            .and_then(|cell| cell.with(|state| state.active.clone()))
            .filter(|active| active.id == *id);
        Ok(Some(active.unwrap_or(stored)))
    }

    /// Writes a file that belongs to no session, at a path below the configuration folder, behind everything
    /// decided before.
    pub fn put(&self, path: impl Into<String>, bytes: Vec<u8>) -> Commit {
        let mut transaction = Transaction::default();
        transaction.put(path, bytes);
        self.ground.journal.enqueue(transaction)
    }

    /// Waits until everything decided so far is durable: what is read then may be told.
    ///
    /// # Errors
    /// When storage refused some of it.
    pub async fn settled(&self) -> Result<(), journal::Error> {
        self.ground.journal.barrier().await
    }

    /// Asks that everything decided so far be written to the documented files now; the commit waits for that.
    /// Only those need it who reach past [`Store::files`].
    pub fn carry_out(&self) -> Commit {
        self.ground.journal.carry_out()
    }

    /// Tells whether storage takes what is to be stored.
    #[must_use]
    pub fn accepts_writes(&self) -> bool {
        self.ground.journal.refusal().is_none()
    }

    /// Waits until storage refuses something. From then on nothing is accepted and memory may be ahead of the
    /// disk: the store is to be opened anew.
    pub async fn refused(&self) {
        self.ground.journal.refused().await;
    }

    /// Why storage takes nothing any longer; `None` while it does.
    #[must_use]
    pub fn refusal(&self) -> Option<journal::Error> {
        self.ground.journal.refusal()
    }

    /// Writes `chat-sessions.json` for older tools. Blocks.
    ///
    /// # Errors
    /// When it cannot be written, or when storage has refused what memory already tells.
    pub fn export(&self) -> Result<(), Error> {
        let sessions: Vec<Session> =
            self.sessions().iter().map(|cell| cell.with(|state| state.session.clone())).collect();
        // What the export tells must be durable without it.
        self.ground.journal.enqueue(Transaction::default()).wait()?;
        Ok(sessions::export(&self.ground.paths, sessions.iter(), &self.unreadable_rows)?)
    }

    /// Writes the export, empties the journal, accepts nothing more and leaves the folders to others. Blocks.
    ///
    /// # Errors
    /// When something cannot be written; nothing is lost by it, the next start repairs it.
    pub fn close(&self) -> Result<(), Error> {
        let cells = self.sessions();
        if self.unchanged == Some(cells.len()) && cells.iter().all(|cell| cell.revision() == 0) {
            self.ground.journal.close()?;
        } else {
            self.export()?;
            let told = cells.into_iter().map(|cell| (cell.snapshot(), cell)).collect();
            self.ground.journal.close()?;
            self.write_index(told);
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }

    /// Writes the index of what was told before the journal was closed.
    fn write_index(&self, told: Vec<(State, Arc<SessionCell>)>) {
        let paths = &self.ground.paths;
        let folder = Folder::open(paths);
        let records = told.into_iter().filter_map(|(state, cell)| {
            let stamps = folder.stamps(cell.id());
            // What was changed after it was told may be in its files, or have been refused.
            let unchanged = cell.revision() == state.revision;
            unchanged.then_some((stamps, state))
        });
        if let Err(error) = index::write(paths, &self.unreadable_rows, records) {
            tracing::warn!(%error, "the next start will be slower");
        }
    }
}

/// What [`Store::find_or_insert`] did.
#[derive(Debug)]
pub enum Inserted {
    /// The session was already there.
    Found,
    /// It is new, and durable once the commit is.
    New(Commit),
}

/// Reads the record of a session's active run.
fn active_run(paths: &InstancePaths, files: &Files, session: &Session) -> Result<Option<Run>, Damage> {
    let Some(id) = &session.active_run_id else {
        return Ok(None);
    };
    match runs::load(files, id) {
        Ok(Some(run)) => Ok(Some(run)),
        Ok(None) => Err(Damage::new(runs::folder(paths, id).join("status.json"), "it is missing".to_owned())),
        Err(error) => Err(Damage::of(&error)),
    }
}
