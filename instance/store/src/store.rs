//! The store of one instance: all sessions, their journal and the lock on their folder.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use remotelab_config::lock::{self, FileLock};
use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Run, RunId, Session, SessionId};
use serde_json::Value;

use crate::history::relative;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::{self, Commit, Journal, Transaction};
use crate::session::{SessionCell, pretty};
use crate::{runs, sessions};

/// All sessions of an instance. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Store {
    paths: InstancePaths,
    journal: Journal,
    sessions: RwLock<BTreeMap<SessionId, Arc<SessionCell>>>,
    /// Held while a session is created or archived, so that `externalTriggerId` stays unique.
    triggers: Mutex<()>,
    unreadable_rows: Vec<Value>,
    _lock: FileLock,
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
        for folder in
            [paths.config().to_owned(), paths.chat_history(), paths.chat_runs(), paths.memory().join("tasks")]
        {
            atomic::create_private_dir(&folder)?;
        }
        let lock = match FileLock::try_acquire(&paths.server_lock()) {
            Ok(lock) => lock,
            Err(lock::Error::Held(_)) => return Err(Error::InUse(paths.config().to_owned())),
            Err(lock::Error::File(error)) => return Err(error.into()),
        };
        let at_config = |source| Error::Journal { path: paths.config().to_owned(), source };
        let (journal, replayed) = Journal::open_on(disk, paths.config()).map_err(at_config)?;
        let loaded = sessions::load(paths).map_err(at_config)?;
        let recovery = Recovery { replayed, damaged: loaded.damaged, imported: loaded.imported.len() };
        let taken_over: Vec<Commit> = loaded
            .imported
            .iter()
            .map(|id| {
                let mut transaction = Transaction::default();
                transaction.put(relative::session(id), pretty(&loaded.sessions[id]));
                journal.enqueue(transaction)
            })
            .collect();
        taken_over.into_iter().try_for_each(Commit::wait)?;
        let cells = loaded.sessions.into_iter().map(|(id, session)| {
            let cell = cell(paths, &journal, session);
            (id, Arc::new(cell))
        });
        let store = Self {
            sessions: RwLock::new(cells.collect()),
            paths: paths.clone(),
            journal,
            triggers: Mutex::new(()),
            unreadable_rows: loaded.unreadable_rows,
            _lock: lock,
        };
        Ok((store, recovery))
    }

    /// The instance's folders.
    #[must_use]
    pub fn paths(&self) -> &InstancePaths {
        &self.paths
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

    /// Adds a session, unless an unarchived one has the same `externalTriggerId`: that one is then
    /// returned. Decided under one lock, so parallel calls agree.
    pub fn find_or_insert(&self, session: Session) -> (Arc<SessionCell>, Inserted) {
        let _creating = self.lock_triggers();
        if let Some(found) = session.external_trigger_id.as_deref().and_then(|key| self.by_trigger(key)) {
            return (found, Inserted::Found);
        }
        let mut transaction = Transaction::default();
        transaction.put(relative::session(&session.id), pretty(&session));
        let cell = Arc::new(SessionCell::new(
            self.paths.clone(),
            self.journal.clone(),
            session,
            HistoryMeta::default(),
            None,
        ));
        self.sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(cell.id().clone(), Arc::clone(&cell));
        let commit = self.journal.enqueue(transaction);
        (cell, Inserted::New(commit))
    }

    /// Reads a run's record, the active one from memory. Blocks.
    ///
    /// # Errors
    /// When the record exists and cannot be read.
    pub fn run(&self, id: &RunId) -> Result<Option<Run>, atomic::Error> {
        let Some(stored) = runs::load(&self.paths, id)? else {
            return Ok(None);
        };
        let active = self
            .session(&stored.session_id)
            .and_then(|cell| cell.with(|state| state.active.clone()))
            .filter(|active| active.id == *id);
        Ok(Some(active.unwrap_or(stored)))
    }

    /// Waits until everything decided so far can be read from the files.
    ///
    /// # Errors
    /// When storage refused a write.
    pub async fn settled(&self) -> Result<(), journal::Error> {
        self.journal.barrier().await
    }

    /// Writes `chat-sessions.json` for older tools. Blocks.
    ///
    /// # Errors
    /// When it cannot be written, or when storage has refused what memory already tells.
    pub fn export(&self) -> Result<(), Error> {
        let sessions: Vec<Session> =
            self.sessions().iter().map(|cell| cell.with(|state| state.session.clone())).collect();
        // What the export tells must be durable without it.
        self.journal.enqueue(Transaction::default()).wait()?;
        Ok(sessions::export(&self.paths, sessions.iter(), &self.unreadable_rows)?)
    }

    /// Writes the export, empties the journal and accepts nothing more. Blocks.
    ///
    /// # Errors
    /// When something cannot be written; nothing is lost by it, the next start repairs it.
    pub fn close(&self) -> Result<(), Error> {
        self.export()?;
        Ok(self.journal.close()?)
    }

    fn by_trigger(&self, key: &str) -> Option<Arc<SessionCell>> {
        let has_key =
            |session: &Session| !session.archived && session.external_trigger_id.as_deref() == Some(key);
        self.sessions().into_iter().find(|cell| cell.with(|state| has_key(&state.session)))
    }

    fn lock_triggers(&self) -> MutexGuard<'_, ()> {
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner)
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

fn cell(paths: &InstancePaths, journal: &Journal, session: Session) -> SessionCell {
    let meta = crate::history::History::of(paths, &session.id).meta();
    let active = session.active_run_id.as_ref().and_then(|id| runs::load(paths, id).ok().flatten());
    SessionCell::new(paths.clone(), journal.clone(), session, meta, active)
}
