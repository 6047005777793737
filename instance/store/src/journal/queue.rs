//! What passes between those who change something, the thread that makes it durable and the one that
//! carries it out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::changes::{Change, Changes};
use super::disk::Pace;
use super::journal_file::JournalFile;
use super::record::{self, Transaction};
use super::{Commit, Error};

/// How many transactions share one sync.
const BATCH: usize = 256;
/// How many transactions may wait for the writer before callers are held back.
const WAITING: usize = 1024;

/// A transaction on its way to the journal, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    /// Its bytes in the journal.
    pub(super) record: Vec<u8>,
    pub(super) done: Done,
}

type Done = oneshot::Sender<Result<(), Error>>;

#[derive(Debug)]
pub(super) struct Queue {
    pace: Pace,
    inner: Mutex<Inner>,
    to_write: Condvar,
    to_carry: Condvar,
    room: Condvar,
    /// Whether something was refused.
    refusing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Request>,
    waiting_bytes: usize,
    /// What is not in the files yet: what came since the carrier last took something in hand, and that.
    fresh: Changes,
    in_hand: Option<InHand>,
    /// How many transactions were accepted, how many of them are in the journal, how many in the files.
    accepted: u64,
    synced: u64,
    carried: u64,
    /// When the first and the last of the fresh changes came.
    first: Instant,
    last: Instant,
    /// Who waits until so many transactions are in the files.
    waiters: Vec<(u64, Done)>,
    /// A journal file's number, and how many transactions are in the files before it.
    begun: VecDeque<(u64, u64)>,
    /// The next journal file.
    spare: Option<JournalFile>,
    refused: Option<Error>,
    /// Whether something was not even accepted.
    is_ahead: bool,
    end: Option<End>,
}

/// What the carrier has taken: everything up to a transaction.
#[derive(Clone, Debug)]
struct InHand {
    changes: Arc<Changes>,
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything is to be carried out first.
    Closed,
    /// Nobody is there any longer; the next start carries out what is left.
    Abandoned,
}

/// What the carrier is to do.
#[derive(Debug)]
pub(super) enum Round {
    /// Carry out what is in the journal.
    Carry(Arc<Changes>),
    /// Everything is in the files: the journal is of no more use.
    Close,
    /// Leave everything as it is.
    Leave,
}

impl Queue {
    pub(super) fn new(pace: Pace) -> Self {
        let now = Instant::now();
        let inner = Inner {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            fresh: Changes::default(),
            in_hand: None,
            accepted: 0,
            synced: 0,
            carried: 0,
            first: now,
            last: now,
            waiters: Vec::new(),
            begun: VecDeque::new(),
            spare: None,
            refused: None,
            is_ahead: false,
            end: None,
        };
        let [to_write, to_carry, room] = [(); 3].map(|()| Condvar::new());
        let refusing = watch::Sender::new(false);
        Self { pace, inner: Mutex::new(inner), to_write, to_carry, room, refusing }
    }

    // ---- those who change something ----

    /// Accepts a transaction unless it is too large; holds the caller back while too much waits.
    pub(super) fn add(&self, transaction: Transaction) -> Commit {
        let (done, commit) = oneshot::channel();
        if !transaction.fits() {
            let _ = done.send(Err(Error::TooLarge));
            return Commit(commit);
        }
        let mut record = Vec::new();
        record::encode(&transaction, &mut record);
        let mut inner = self.lock();
        while inner.is_full(&self.pace) {
            inner = wait(&self.room, inner);
        }
        match inner.says_no() {
            Some(error) => {
                // Memory tells it already: from here on it is ahead of the disk.
                inner.is_ahead |= !transaction.is_empty();
                // Whoever asked may have stopped waiting.
                let _ = done.send(Err(error));
            }
            None => {
                inner.accepted += 1;
                if !transaction.is_empty() && inner.note(transaction, &self.pace) {
                    self.to_carry.notify_one();
                }
                inner.waiting_bytes += record.len();
                inner.waiting.push_back(Request { record, done });
                self.to_write.notify_one();
            }
        }
        Commit(commit)
    }

    /// Tells whether everything that memory tells is in the journal.
    pub(super) fn is_synced(&self) -> bool {
        let inner = self.lock();
        inner.synced == inner.accepted && !inner.is_ahead
    }

    /// Asks that everything accepted be carried out now.
    pub(super) fn carry_out(&self) -> Commit {
        self.ask(None)
    }

    /// Accepts nothing more and asks for an end with everything carried out.
    pub(super) fn close(&self) -> Commit {
        self.ask(Some(End::Closed))
    }

    /// Ends without that.
    pub(super) fn abandon(&self) {
        self.lock().end = Some(End::Abandoned);
        self.wake_all();
    }

    /// Returns why nothing is accepted any longer.
    pub(super) fn refusal(&self) -> Option<Error> {
        self.lock().says_no()
    }

    /// Becomes true when something is refused.
    pub(super) fn refusing(&self) -> watch::Receiver<bool> {
        self.refusing.subscribe()
    }

    fn ask(&self, end: Option<End>) -> Commit {
        let (done, commit) = oneshot::channel();
        let mut inner = self.lock();
        match inner.says_no() {
            Some(error) => drop(done.send(Err(error))),
            None => {
                let all = inner.accepted;
                inner.waiters.push((all, done));
            }
        }
        inner.end = inner.end.or(end);
        drop(inner);
        self.wake_all();
        Commit(commit)
    }

    // ---- those who read ----

    /// Returns what is still to be done to a file, the older first.
    pub(super) fn changes_of(&self, path: &str) -> [Option<Change>; 2] {
        let inner = self.lock();
        let in_hand = inner.in_hand.as_ref().and_then(|it| it.changes.get(path));
        [in_hand.cloned(), inner.fresh.get(path).cloned()]
    }

    /// Calls `found` for each file that is not carried out yet and whose path begins so, with the rest of
    /// the path.
    pub(super) fn each_below(&self, start: &str, found: impl FnMut(&str)) {
        let inner = self.lock();
        let in_hand = inner.in_hand.iter().flat_map(|it| it.changes.paths());
        in_hand.chain(inner.fresh.paths()).filter_map(|path| path.strip_prefix(start)).for_each(found);
    }

    // ---- the writer ----

    /// Waits for transactions; `None` when there will be no others.
    pub(super) fn next_batch(&self) -> Option<Vec<Request>> {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.end.is_some() {
                return None;
            }
            inner = wait(&self.to_write, inner);
        }
        let count = inner.waiting.len().min(BATCH);
        let batch: Vec<Request> = inner.waiting.drain(..count).collect();
        inner.waiting_bytes -= batch.iter().map(|it| it.record.len()).sum::<usize>();
        self.room.notify_all();
        Some(batch)
    }

    /// Notes that so many more transactions are in the journal.
    pub(super) fn synced(&self, count: usize) {
        let mut inner = self.lock();
        inner.synced += count as u64;
        // Otherwise the carrier sleeps until its time.
        if inner.in_hand.is_some() || !inner.waiters.is_empty() || inner.end.is_some() {
            self.to_carry.notify_one();
        }
    }

    /// Takes the next journal file, if it is made: what is synced is in those before it.
    pub(super) fn take_spare(&self) -> Option<JournalFile> {
        let mut inner = self.lock();
        let spare = inner.spare.take()?;
        let synced = inner.synced;
        inner.begun.push_back((spare.number, synced));
        Some(spare)
    }

    /// Accepts nothing more, nor what waits.
    pub(super) fn refuse(&self, error: &Error) {
        let mut inner = self.lock();
        inner.refused.get_or_insert_with(|| error.clone());
        let waiting: Vec<Request> = inner.waiting.drain(..).collect();
        inner.waiting_bytes = 0;
        let waiters = std::mem::take(&mut inner.waiters).into_iter().map(|(_, done)| done);
        for done in waiting.into_iter().map(|request| request.done).chain(waiters) {
            let _ = done.send(Err(error.clone()));
        }
        drop(inner);
        self.refusing.send_replace(true);
        self.wake_all();
    }

    // ---- the carrier ----

    /// Waits until there is something to do.
    pub(super) fn next_round(&self) -> Round {
        let mut inner = self.lock();
        loop {
            inner = match (&inner.in_hand, inner.end) {
                (_, Some(End::Abandoned)) => return Round::Leave,
                (_, Some(End::Closed)) if inner.refused.is_some() => return Round::Leave,
                _ if inner.refused.is_some() => wait(&self.to_carry, inner),
                (Some(it), _) if inner.synced >= it.until => return Round::Carry(Arc::clone(&it.changes)),
                (Some(_), _) => wait(&self.to_carry, inner),
                (None, end) if inner.fresh.is_empty() => {
                    if inner.synced == inner.accepted {
                        let all = inner.accepted;
                        inner.note_carried(all);
                        if end.is_some() {
                            return Round::Close;
                        }
                    }
                    wait(&self.to_carry, inner)
                }
                (None, _) => match inner.patience(&self.pace) {
                    Duration::ZERO => {
                        inner.take_in_hand();
                        inner
                    }
                    patience => {
                        let waited = self.to_carry.wait_timeout(inner, patience);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                },
            };
        }
    }

    /// Notes that what the carrier had in hand is in the files. Returns the number of the first journal file
    /// that is still needed, when it is another than before.
    pub(super) fn carried(&self) -> Option<u64> {
        let mut inner = self.lock();
        let done = inner.in_hand.take();
        inner.note_carried(done.as_ref().map_or(0, |it| it.until));
        let carried = inner.carried;
        let mut needed = None;
        while let Some((number, _)) = inner.begun.pop_front_if(|(_, before)| *before <= carried) {
            needed = Some(number);
        }
        drop(inner);
        self.room.notify_all();
        needed
    }

    /// Tells whether the next journal file is to be made.
    pub(super) fn wants_spare(&self) -> bool {
        self.lock().spare.is_none()
    }

    pub(super) fn put_spare(&self, spare: JournalFile) {
        self.lock().spare = Some(spare);
    }

    /// Notes that the journal is gone.
    pub(super) fn closed(&self) {
        let waiters = std::mem::take(&mut self.lock().waiters);
        for (_, done) in waiters {
            let _ = done.send(Ok(()));
        }
    }

    /// Tells whether nobody is there any longer.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().end == Some(End::Abandoned)
    }

    fn wake_all(&self) {
        self.to_write.notify_all();
        self.to_carry.notify_all();
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn says_no(&self) -> Option<Error> {
        self.refused.clone().or_else(|| self.end.map(|_| Error::Closed))
    }

    fn is_full(&self, pace: &Pace) -> bool {
        let in_hand = self.in_hand.as_ref().map_or(0, |it| it.changes.bytes());
        let bytes = self.waiting_bytes + self.fresh.bytes() + in_hand;
        (self.waiting.len() >= WAITING || bytes >= pace.most_bytes) && self.says_no().is_none()
    }

    /// Adds what a transaction changes; tells whether the carrier is to know of it.
    fn note(&mut self, transaction: Transaction, pace: &Pace) -> bool {
        let (was_empty, had_much) = (self.fresh.is_empty(), self.has_much(pace));
        self.last = Instant::now();
        if was_empty {
            self.first = self.last;
        }
        transaction.into_ops().into_iter().for_each(|op| self.fresh.add(op));
        was_empty || (!had_much && self.has_much(pace))
    }

    fn has_much(&self, pace: &Pace) -> bool {
        self.fresh.len() >= pace.files || self.fresh.bytes() >= pace.bytes
    }

    /// How long the fresh changes may stay as they are.
    fn patience(&self, pace: &Pace) -> Duration {
        if self.end.is_some() || !self.waiters.is_empty() || self.has_much(pace) {
            return Duration::ZERO;
        }
        let (first, last) = (self.first.elapsed(), self.last.elapsed());
        pace.quiet.saturating_sub(last).min(pace.late.saturating_sub(first))
    }

    fn take_in_hand(&mut self) {
        let changes = Arc::new(std::mem::take(&mut self.fresh));
        self.in_hand = Some(InHand { changes, until: self.accepted });
    }

    fn note_carried(&mut self, until: u64) {
        self.carried = self.carried.max(until);
        // At the end they wait for the journal to be gone, too.
        if self.end.is_none() {
            for (_, done) in self.waiters.extract_if(.., |(until, _)| *until <= self.carried) {
                let _ = done.send(Ok(()));
            }
        }
    }
}

fn wait<'a>(condition: &Condvar, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
    condition.wait(inner).unwrap_or_else(PoisonError::into_inner)
}
