//! Looking at mail and deciding about it; taking mail in from files.

use std::path::Path;

use remotelab_config::{InstanceName, atomic};
use remotelab_protocol::time::iso_from_ms;
use serde::Serialize;

use super::{Counts, Desk, Error};
use crate::address::Address;
use crate::ingest::{self, Door, Envelope, Reception};
use crate::places::Place;
use crate::recipient;
use crate::scan::Scanner;
use crate::state::Inbound;
use crate::store::{Filter, Item, Store};

/// Rows in a listing of one instance.
const LISTING: usize = 1_000;

/// The reviewer named when a command does not name one.
const REVIEWER: &str = "manual-operator";

/// Which mail a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// All of it.
    #[default]
    All,
    /// Waiting for a person.
    Review,
    /// Held or put aside.
    Quarantine,
    /// Given to the instance, in whatever state since then.
    Approved,
}

/// One mail in a listing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The mail's id.
    pub id: String,
    /// `review`, `quarantine` or `approved`.
    pub queue: &'static str,
    /// The status word of the documented listings.
    pub status: &'static str,
    /// The precise state.
    pub state: Inbound,
    /// Why it is there.
    pub reason: String,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Guest, or empty for the owner.
    pub target_instance: String,
    /// ISO time.
    pub created_at: String,
    /// The session it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What `mail ingest` took in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingested {
    /// The mails, in the order of their files. A duplicate shows the mail that was there.
    pub ingested: Vec<Summary>,
    /// How many stand in each queue of the instances concerned.
    pub counts: Counts,
}

impl Queue {
    /// Reads `review`, `quarantine` or `approved`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "review" => Some(Self::Review),
            "quarantine" => Some(Self::Quarantine),
            "approved" => Some(Self::Approved),
            _ => None,
        }
    }

    fn filter(self) -> Filter<'static> {
        match self {
            Self::All => Filter::All,
            Self::Review => Filter::Queue("review"),
            Self::Quarantine => Filter::Queue("quarantine"),
            Self::Approved => Filter::Queue("approved"),
        }
    }
}

impl Summary {
    pub(super) fn of(item: &Item) -> Self {
        Self {
            id: item.id.clone(),
            queue: item.state.queue(),
            status: item.state.status(),
            state: item.state,
            reason: item.reason.clone(),
            from: item.facts.from.clone(),
            to: item.rcpt.clone(),
            subject: item.facts.subject.clone(),
            target_instance: item.instance.clone(),
            created_at: iso_from_ms(item.received_at),
            session_id: item.session_id.clone(),
            run_id: item.run_id.clone(),
            last_error: item.last_error.clone(),
        }
    }
}

impl Desk {
    /// Lists mail, newest first, of one instance or of all.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable store.
    pub fn queue(&self, queue: Queue, instance: Option<&InstanceName>) -> Result<Vec<Summary>, Error> {
        let mut items = Vec::new();
        for place in self.scope(instance)? {
            if Store::exists(&place.root) {
                items.extend(self.office.store(&place)?.items(queue.filter(), LISTING)?);
            }
        }
        items.sort_by(|a, b| b.received_at.cmp(&a.received_at).then_with(|| b.id.cmp(&a.id)));
        Ok(items.iter().map(Summary::of).collect())
    }

    /// Lets mail that waits for review become work.
    ///
    /// # Errors
    /// [`Error::NoMail`] or [`Error::NotNow`].
    pub fn approve(&self, id: &str, reviewer: Option<&str>) -> Result<Summary, Error> {
        self.review(id, &[Inbound::PendingReview], Inbound::Approved, "approved", reviewer)
    }

    /// Lets mail that was held, put aside or given up become work.
    ///
    /// # Errors
    /// [`Error::NoMail`] or [`Error::NotNow`].
    pub fn release(&self, id: &str, reviewer: Option<&str>) -> Result<Summary, Error> {
        const FROM: [Inbound; 4] = [Inbound::Quarantined, Inbound::Noted, Inbound::Failed, Inbound::Dead];
        self.review(id, &FROM, Inbound::Approved, "released", reviewer)
    }

    /// Refuses mail for good. Its sender is not told.
    ///
    /// # Errors
    /// [`Error::NoMail`] or [`Error::NotNow`].
    pub fn reject(&self, id: &str, reviewer: Option<&str>) -> Result<Summary, Error> {
        const FROM: [Inbound; 3] = [Inbound::PendingReview, Inbound::Quarantined, Inbound::Approved];
        self.review(id, &FROM, Inbound::Rejected, "rejected", reviewer)
    }

    /// Takes in a file, or the files of a folder in name order. The recipient is the one given, else
    /// the first of the `To` header that is ours, else the owner.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::TooLarge`], [`Error::NotInitialised`].
    pub fn ingest(&self, source: &Path, recipient: Option<&str>) -> Result<Ingested, Error> {
        let identity = self.must_be_initialised()?;
        let guests = self.places().guests()?;
        let given = recipient.map(super::address).transpose()?;
        let owner = super::address(&identity.owner_address())?;
        let mut ingested = Vec::new();
        let mut concerned: Vec<Place> = Vec::new();
        for path in files(source)? {
            let raw = std::fs::read(&path).map_err(|source| atomic::Error::new("read", &path, source))?;
            if raw.len() as u64 > ingest::MAX_MESSAGE {
                return Err(Error::TooLarge(path));
            }
            let named = given.clone().or_else(|| to_header(&raw));
            let routed = named.and_then(|rcpt| {
                let routed = recipient::resolve(&rcpt, &identity, &guests).ok()?;
                Some((rcpt, routed.guest))
            });
            if routed.is_none() && given.is_some() {
                return Err(Error::Option("no instance has this address".to_owned()));
            }
            let (rcpt, guest) = routed.unwrap_or_else(|| (owner.clone(), None));
            let place = self.place(guest.as_ref())?;
            ingested.push(self.take_in(rcpt, &raw, &path)?);
            if !concerned.contains(&place) {
                concerned.push(place);
            }
        }
        let mut counts = Counts::default();
        for place in &concerned {
            counts.add(&self.office.store(place)?.counts()?);
        }
        Ok(Ingested { ingested, counts })
    }

    fn take_in(&self, rcpt: Address, raw: &[u8], path: &Path) -> Result<Summary, Error> {
        let envelope =
            Envelope { from: None, to: rcpt, door: Door::File, source: path.display().to_string() };
        let mut reception = Reception::open(&self.office, envelope, Some(raw.len() as u64))?;
        reception.write(raw)?;
        let taken = reception.commit()?;
        let item = taken.settle(&self.office)?.ok_or(Error::NoMail(taken.id))?;
        Ok(Summary::of(&item))
    }

    fn review(
        &self,
        id: &str,
        from: &[Inbound],
        next: Inbound,
        verb: &'static str,
        reviewer: Option<&str>,
    ) -> Result<Summary, Error> {
        for place in self.places().all()? {
            if !Store::exists(&place.root) {
                continue;
            }
            let store = self.office.store(&place)?;
            let Some(item) = store.item(id)? else {
                continue;
            };
            let reviewer = reviewer.unwrap_or(REVIEWER);
            if !store.review(id, from, next, reviewer, self.office.clock.now())? {
                return Err(Error::NotNow { id: id.to_owned(), state: item.state.as_str(), verb });
            }
            let item = store.item(id)?.unwrap_or(item);
            return Ok(Summary::of(&item));
        }
        Err(Error::NoMail(id.to_owned()))
    }
}

fn to_header(raw: &[u8]) -> Option<Address> {
    let mut scanner = Scanner::new();
    scanner.update(crate::scan::header_block(raw));
    let to = scanner.finish().to;
    // Good enough for a default: the first thing in the list that is an address.
    to.split([',', ';', '<', '>', ' ']).find_map(|word| Address::parse(word).ok())
}

fn files(source: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let failed = |error| atomic::Error::new("read", source, error);
    if !std::fs::metadata(source).map_err(failed)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
