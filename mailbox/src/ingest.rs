//! The one way in for mail, whatever door it comes through: recipient first, then the bytes, then the
//! row. What [`Reception::commit`] has returned survives the loss of power.

mod refusal;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use remotelab_config::atomic;

use crate::address::Address;
use crate::intake;
use crate::office::{Error, Office, blocking};
use crate::places::Place;
use crate::recipient;
use crate::store::{self, Incoming, Item, NewItem, Store, Stored};

pub(crate) use refusal::Refused;
pub(crate) use writer::Writer;

/// Largest message taken: what Cloudflare delivers at most, and a little (bytes).
pub(crate) const MAX_MESSAGE: u64 = 26 * 1024 * 1024;

/// Room on the disk that mail never uses up (bytes): what is there already must go on.
const ROOM: u64 = 256 * 1024 * 1024;

/// Mails of one instance that may wait to be read or handed over; more are asked to come back.
const MAX_WAITING: usize = 10_000;

/// Time in which mail is counted (milliseconds).
const QUOTA_WINDOW: i64 = 60 * 60 * 1000;

/// How long whoever delivers waits to hear what becomes of a mail that is safe already.
const PATIENCE: Duration = Duration::from_secs(3);

/// The way by which a mail came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The Email Worker's webhook.
    Webhook,
    /// A raw message over HTTP.
    Http,
    /// A mail server of this machine.
    Lmtp,
    /// Other providers.
    Mailgun,
    Postmark,
    Resend,
    Ses,
    /// A file, by command.
    File,
}

impl Door {
    /// Returns the word that the store and listings use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Http => "http",
            Self::Lmtp => "lmtp",
            Self::Mailgun => "mailgun",
            Self::Postmark => "postmark",
            Self::Resend => "resend",
            Self::Ses => "ses",
            Self::File => "file",
        }
    }
}

/// What is known of a mail before its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// `Some("")` is the null path of reports, `None` unknown.
    pub(crate) from: Option<String>,
    pub(crate) to: Address,
    pub(crate) door: Door,
    /// Where it came from, for people.
    pub(crate) source: String,
}

/// A mail on its way in, for one recipient. Dropped before its commit, it leaves nothing behind.
pub(crate) struct Reception {
    office: Arc<Office>,
    place: Place,
    store: Arc<Store>,
    incoming: Incoming,
    new: NewItem,
    size: u64,
}

/// A mail that is safe.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Place,
    store: Arc<Store>,
    pub(crate) id: String,
    pub(crate) duplicate: bool,
}

impl Reception {
    /// Decides by the envelope alone, and by the size when it was announced. Blocks.
    pub(crate) fn open(
        office: &Arc<Office>,
        envelope: Envelope,
        announced: Option<u64>,
    ) -> Result<Self, Refused> {
        if announced.is_some_and(|size| size > MAX_MESSAGE) {
            return Err(Refused::TooLarge);
        }
        let place = route(office, &envelope.to)?.ok_or(Refused::UnknownRecipient)?;
        let store = office.store(&place)?;
        // A command takes in what its operator wants.
        if envelope.door != Door::File && is_over_quota(office, &place, &store, envelope.from.as_deref())? {
            return Err(Refused::OverQuota);
        }
        if store.is_waiting(MAX_WAITING).map_err(Error::from)? {
            return Err(Refused::Busy);
        }
        if !has_room(&place, announced.unwrap_or_default()) {
            return Err(Refused::NoRoom);
        }
        let new = NewItem {
            instance: place.label().to_owned(),
            rcpt: envelope.to.key().to_owned(),
            mail_from: envelope.from,
            door: envelope.door,
            source: envelope.source,
        };
        let incoming = store.incoming().map_err(refused)?;
        Ok(Self { office: Arc::clone(office), place, store, incoming, new, size: 0 })
    }

    /// Takes the next bytes. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.size += bytes.len() as u64;
        if self.size > MAX_MESSAGE {
            return Err(Refused::TooLarge);
        }
        self.incoming.write(bytes).map_err(refused)
    }

    /// Returns SHA-256 over the bytes so far, in hex.
    pub(crate) fn digest(&self) -> String {
        self.incoming.digest()
    }

    /// Makes the mail durable. Blocks.
    pub(crate) fn commit(self) -> Result<Taken, Refused> {
        let blob = self.incoming.keep().map_err(refused)?;
        let stored = self.store.insert(self.new, blob, self.office.clock.now()).map_err(refused)?;
        let Stored { id, duplicate } = stored;
        tracing::info!(mail.id = %id, duplicate, "mail {id} taken in");
        Ok(Taken { place: self.place, store: self.store, id, duplicate })
    }
}

impl Taken {
    /// Reads the mail and decides its fate, which the worker would do otherwise, for as long as somebody
    /// waits for it. Returns its row; `None` when it came again after it was deleted.
    pub(crate) async fn settle(&self, office: &Arc<Office>) -> Result<Option<Item>, Error> {
        // The mail is safe; what fails now is done by the worker.
        let settled = intake::settle(office, &self.place, &self.store, &self.id);
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, settled).await {
            tracing::warn!(mail.id = %self.id, "mail {} stored, not read yet: {error}", self.id);
        }
        let (store, id) = (Arc::clone(&self.store), self.id.clone());
        blocking(move || Ok(store.item(&id)?)).await
    }
}

/// Tells whether a recipient is one of ours. Blocks.
pub(crate) fn knows(office: &Office, recipient: &Address) -> Result<bool, Error> {
    Ok(route(office, recipient)?.is_some())
}

/// Tells whether as much came within the hour as the settings allow, of this sender or of all together.
fn is_over_quota(office: &Office, place: &Place, store: &Store, from: Option<&str>) -> Result<bool, Error> {
    let policy = office.places.policy(place)?;
    let since = office.clock.now() - QUOTA_WINDOW;
    if policy.per_hour > 0 && store.came_since(None, since)? >= policy.per_hour {
        return Ok(true);
    }
    let from = from.filter(|from| !from.is_empty() && policy.per_sender_hour > 0);
    Ok(match from {
        Some(from) => store.came_since(Some(from), since)? >= policy.per_sender_hour,
        None => false,
    })
}

/// Finds whose mail it is; `None` for a recipient that nobody here has.
fn route(office: &Office, recipient: &Address) -> Result<Option<Place>, Error> {
    let Some(identity) = office.places.identity()? else {
        return Ok(None);
    };
    let guests = office.places.guests()?;
    let Ok(routed) = recipient::resolve(recipient, &identity, &guests) else {
        return Ok(None);
    };
    Ok(office.places.find(routed.guest.as_ref())?)
}

/// Tells whether the disk takes a mail and stays usable. One that cannot be asked will say so itself.
fn has_room(place: &Place, size: u64) -> bool {
    rustix::fs::statvfs(&place.root)
        .map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM + size)
}

/// A disk that filled up meanwhile is no trouble of ours.
fn refused(error: store::Error) -> Refused {
    let is_full = matches!(&error, store::Error::File(atomic::Error { source, .. })
        if source.kind() == io::ErrorKind::StorageFull);
    if is_full { Refused::NoRoom } else { Refused::Trouble(Error::Store(error)) }
}
