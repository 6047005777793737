//! One session in memory, and how it is changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remotelab_config::InstancePaths;
use remotelab_protocol::run::Manifest;
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Context, Event, Run, RunId, Session, SessionId};
use serde::Serialize;

use crate::history::{self, History, relative};
use crate::index::Packed;
use crate::journal::{Commit, Files, Journal, Transaction};
use crate::requests::Requests;
use crate::triggers::{self, Triggers};
use crate::{body, runs, sessions};

/// A session, shared by all who read or change it.
#[derive(Debug)]
pub struct SessionCell {
    id: SessionId,
    ground: Arc<Ground>,
    inner: Mutex<Inner>,
}

/// What all sessions of a store share.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) paths: InstancePaths,
    pub(crate) journal: Journal,
    pub(crate) triggers: Triggers,
}

#[derive(Debug)]
struct Inner {
    state: Held,
    /// Read when the session is first written to; apart from the state, which is often copied.
    requests: Option<Requests>,
}

/// What is known of a session, understood or not.
#[derive(Debug)]
pub(crate) enum Held {
    /// Somebody asked.
    Open(Box<State>),
    /// Nobody has asked since the start.
    Packed(Packed),
}

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct State {
    /// The stored record.
    pub session: Session,
    /// Figures about the history.
    pub meta: HistoryMeta,
    /// The run under way.
    pub active: Option<Run>,
    /// Counts every change since the server started.
    pub revision: u64,
}

/// A change of one session in the making. What is done to it is seen by others when the change is
/// over, and becomes durable as one transaction.
#[derive(Debug)]
pub struct Draft<'a> {
    id: &'a SessionId,
    files: &'a Files,
    state: &'a mut State,
    requests: &'a mut Option<Requests>,
    transaction: Transaction,
    /// The session's trigger key before its record was changed; `None` while it was not.
    key_before: Option<Option<String>>,
    session_changed: bool,
    meta_changed: bool,
}

impl SessionCell {
    pub(crate) fn new(ground: Arc<Ground>, id: SessionId, state: Held) -> Self {
        Self { id, ground, inner: Mutex::new(Inner { state, requests: None }) }
    }

    /// Makes a session that nobody knows yet, changed for the first time, and what writes all of it.
    pub(crate) fn begun<T>(
        ground: Arc<Ground>,
        mut state: State,
        change: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> (Self, T, Transaction) {
        let (id, mut requests) = (state.session.id.clone(), None);
        let mut draft = Draft::new(&id, ground.journal.files(), &mut state, &mut requests);
        draft.session_changed = true;
        let outcome = change(&mut draft);
        let transaction = draft.finish();
        let inner = Mutex::new(Inner { state: Held::Open(Box::new(state)), requests });
        (Self { id, ground, inner }, outcome, transaction)
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session's events, for reading.
    #[must_use]
    pub fn history(&self) -> History {
        History::of(self.ground.journal.files(), &self.id)
    }

    /// Returns a copy of what is known.
    #[must_use]
    pub fn snapshot(&self) -> State {
        self.lock().state.open(&self.ground.paths, &self.id).clone()
    }

    /// Looks at what is known, without copying it. Keep `look` short: others wait.
    pub fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(self.lock().state.open(&self.ground.paths, &self.id))
    }

    /// How often the session was changed since the start. A session that nobody asked for was not.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match &self.lock().state {
            Held::Open(state) => state.revision,
            Held::Packed(_) => 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.lock().state, Held::Open(_))
    }

    /// Changes the session. The decision and the change are one: nobody else changes it in between.
    /// What `change` returns may be acknowledged once the commit is durable, also when `change`
    /// changed nothing (the commit then waits for what others changed before). A change that is too large for
    /// the journal is undone, and its commit fails.
    pub fn change<T>(&self, change: impl FnOnce(&mut Draft<'_>) -> T) -> (T, Commit) {
        let mut inner = self.lock();
        let Inner { state, requests } = &mut *inner;
        let state = state.open(&self.ground.paths, &self.id);
        let mut draft = Draft::new(&self.id, self.ground.journal.files(), &mut *state, requests);
        let outcome = change(&mut draft);
        let key_before = draft.key_before.take();
        let transaction = draft.finish();
        if !transaction.fits() {
            // Every change before this one can be read there, and the requests are read when they are needed.
            match sessions::as_changed(self.ground.journal.files(), &self.id) {
                Some(before) => *state = State { revision: state.revision, ..before },
                None => {
                    tracing::error!(session.id = %self.id, "what was not stored of a session cannot be undone");
                }
            }
            *requests = None;
            return (outcome, self.ground.journal.enqueue(transaction));
        }
        if !transaction.is_empty() {
            state.revision += 1;
        }
        // Enqueued under the lock, so that the journal has a session's changes in their order.
        let commit = self.enqueue(transaction, &state.session, key_before);
        (outcome, commit)
    }

    /// Hands a transaction over. A change of the trigger key is one step with it: whoever may now take
    /// the key does so behind it in the journal.
    fn enqueue(
        &self,
        transaction: Transaction,
        session: &Session,
        key_before: Option<Option<String>>,
    ) -> Commit {
        let Ground { journal, triggers, .. } = &*self.ground;
        let key = triggers::key_of(session);
        let changed = key_before.filter(|before| before.as_deref() != key);
        let _keys = changed.map(|before| {
            let mut keys = triggers.lock();
            keys.replace(&self.id, before.as_deref(), key);
            keys
        });
        journal.enqueue(transaction)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while changing leaves at worst an unwritten change, which a restart forgets.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Returns the state, understood on the first call.
    pub(crate) fn open(&mut self, paths: &InstancePaths, id: &SessionId) -> &mut State {
        if let Self::Packed(packed) = self {
            *self = Self::Open(packed.open().unwrap_or_else(|| sessions::reread(paths, id)));
        }
        match self {
            Self::Open(state) => state,
            Self::Packed(_) => unreachable!("it was opened just above"),
        }
    }

    /// The key by which the session is found.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Open(state) => triggers::key_of(&state.session),
            Self::Packed(packed) => packed.key.as_deref(),
        }
    }
}

impl State {
    pub(crate) fn new(session: Session, meta: HistoryMeta) -> Self {
        Self { session, meta, active: None, revision: 0 }
    }
}

impl<'a> Draft<'a> {
    fn new(
        id: &'a SessionId,
        files: &'a Files,
        state: &'a mut State,
        requests: &'a mut Option<Requests>,
    ) -> Self {
        Self {
            id,
            files,
            state,
            requests,
            transaction: Transaction::default(),
            key_before: None,
            session_changed: false,
            meta_changed: false,
        }
    }

    /// The record as it stands.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.state.session
    }

    /// The record, to be changed.
    pub fn session_mut(&mut self) -> &mut Session {
        if self.key_before.is_none() {
            self.key_before = Some(triggers::key_of(&self.state.session).map(str::to_owned));
        }
        self.session_changed = true;
        &mut self.state.session
    }

    /// Figures about the history.
    #[must_use]
    pub fn meta(&self) -> &HistoryMeta {
        &self.state.meta
    }

    /// The run under way.
    #[must_use]
    pub fn active(&self) -> Option<&Run> {
        self.state.active.as_ref()
    }

    /// Returns the run that answers a request. The first call of a session reads a file.
    pub fn run_of(&mut self, request_id: &str) -> Option<RunId> {
        let (id, files, latest_seq) = (self.id, self.files, self.state.meta.latest_seq);
        let requests = self.requests.get_or_insert_with(|| Requests::load(files, id, latest_seq));
        requests.run(request_id).cloned()
    }

    /// Appends an event and returns its sequence number.
    pub fn append(&mut self, mut event: Event) -> u64 {
        event.seq = self.state.meta.latest_seq + 1;
        history::count(&mut self.state.meta, &event);
        if let Some(moved) = body::externalise(&mut event) {
            self.transaction.put(relative::body(self.id, &moved.reference), moved.text.into_bytes());
        }
        self.transaction.put(relative::event(self.id, event.seq), pretty(&event));
        self.meta_changed = true;
        event.seq
    }

    /// Creates a run and makes it the session's active one.
    pub fn start_run(&mut self, manifest: &Manifest, run: Run) {
        self.add_run(manifest, &run);
        self.session_mut().active_run_id = Some(run.id.clone());
        self.state.active = Some(run);
    }

    /// Creates a run beside the active one, whose output does not become history.
    pub fn add_run(&mut self, manifest: &Manifest, run: &Run) {
        self.transaction.put(runs::relative::manifest(&run.id), pretty(manifest));
        self.transaction.put(runs::relative::status(&run.id), pretty(run));
        self.note_request(&run.request_id, &run.id);
    }

    /// Replaces what stands for the beginning of the history; `messages` is how many it stands for.
    pub fn put_context(&mut self, context: &Context, messages: u64) {
        self.transaction.put(relative::context(self.id), pretty(context));
        self.session_mut().context_mark = context.mark(messages);
    }

    /// Notes that a run answers one more request than its own.
    pub fn note_request(&mut self, request_id: &str, run: &RunId) {
        let (id, files, latest_seq) = (self.id, self.files, self.state.meta.latest_seq);
        let requests = self.requests.get_or_insert_with(|| Requests::load(files, id, latest_seq));
        requests.note(id, request_id, run, &mut self.transaction);
    }

    /// Writes a run's record; the active one is replaced by it.
    pub fn put_run(&mut self, run: Run) {
        self.transaction.put(runs::relative::status(&run.id), pretty(&run));
        if self.state.active.as_ref().is_some_and(|active| active.id == run.id) {
            self.state.active = Some(run);
        }
    }

    /// Writes any other file of the instance along, at a path below its configuration folder.
    pub fn put_file(&mut self, path: impl Into<String>, bytes: Vec<u8>) {
        self.transaction.put(path, bytes);
    }

    /// Frees the session of its active run.
    pub fn release_run(&mut self) {
        self.session_mut().active_run_id = None;
        self.state.active = None;
    }

    fn finish(mut self) -> Transaction {
        if self.session_changed {
            self.transaction.put(relative::session(self.id), pretty(&self.state.session));
        }
        if self.meta_changed {
            self.transaction.put(relative::meta(self.id), pretty(&self.state.meta));
        }
        self.transaction
    }
}

pub(crate) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("records have string keys and finite numbers");
    bytes.push(b'\n');
    bytes
}
