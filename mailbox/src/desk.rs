//! What the operator does with mail: every `remotelab mail` command as a function. Options in, plain
//! values out; the command line only parses and prints.
//!
//! All functions but [`Desk::send`] block.

mod intake;
mod letters;
mod review;
mod send;
mod setup;
mod status;
mod tend;

use remotelab_config::{Env, InstanceName, atomic};

pub use intake::{Ingested, Source};
pub use letters::LetterSummary;
pub use review::{Queue, Summary};
pub use send::{SendOptions, Sent};
pub use setup::{AutomationChange, InitOptions, InitReport, SmtpOptions};
pub use status::{Counts, InstanceStatus, Latest, LetterCounts, Status};
pub use tend::{Answer, Deleted, Mail, MailFile, Retried, Step, Text};

use std::path::PathBuf;
use std::sync::Arc;

use crate::address::Malformed;
use crate::allowlist::BadEntry;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::ingest::Refused;
use crate::office::{self, Office};
use crate::places::{self, Place, Places};
use crate::recipient::Guest;
use crate::store;

/// The operator's hands on the mailboxes of an installation.
#[derive(Clone, Debug)]
pub struct Desk {
    office: Arc<Office>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `mail init` ran before.
    #[error("the mailbox of {0} exists already; nothing was changed")]
    AlreadyInitialised(String),
    /// `mail init` has not run yet.
    #[error("there is no mailbox yet; run: remotelab mail init")]
    NotInitialised,
    /// No guest of that name.
    #[error("there is no instance named {0}")]
    NoInstance(InstanceName),
    /// No mail of that id.
    #[error("there is no mail {0}")]
    NoMail(String),
    /// The mail was deleted.
    #[error("mail {0} was deleted; it is not taken in again")]
    Deleted(String),
    /// The mail's state does not allow it.
    #[error("mail {id} is {state}; it cannot be {verb}")]
    NotNow {
        /// The mail.
        id: String,
        /// Its state.
        state: &'static str,
        /// What was wanted.
        verb: &'static str,
    },
    /// An address is none.
    #[error("\"{text}\" is not an e-mail address")]
    Address {
        /// What was given.
        text: String,
        /// The cause.
        #[source]
        source: Malformed,
    },
    /// An allow-list entry is neither address nor domain.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// An option has no sense.
    #[error("{0}")]
    Option(String),
    /// A file that should be taken in.
    #[error("{} is larger than a mail may be", .0.display())]
    TooLarge(PathBuf),
    /// A file.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// Settings.
    #[error(transparent)]
    Places(#[from] places::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A shared step.
    #[error(transparent)]
    Office(#[from] office::Error),
    /// A mail that was not taken in.
    #[error("the mail was not taken in: {0}")]
    Refused(&'static str),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Trouble(error) => Self::Office(error),
            refused => Self::Refused(refused.smtp()),
        }
    }
}

impl Desk {
    /// Works on the mailboxes at these places. Nothing is opened yet.
    #[must_use]
    pub fn new(places: Places, env: Env, clock: Clock) -> Self {
        Self { office: Arc::new(Office::new(places, clock, env, false)) }
    }

    fn places(&self) -> &Places {
        &self.office.places
    }

    /// What routes are made from: the identity, the guests, the owner's mailbox and configuration folders.
    pub(crate) fn ground(&self) -> Result<(Identity, Vec<Guest>, PathBuf, PathBuf), Error> {
        let places = self.places();
        let identity = places.identity()?.ok_or(Error::NotInitialised)?;
        Ok((identity, places.guests()?, places.owner_root.clone(), places.owner_config.clone()))
    }

    /// Finds an instance, `None` being the owner.
    fn place(&self, instance: Option<&InstanceName>) -> Result<Place, Error> {
        let place = self.places().find(instance)?;
        // The owner is always found.
        place.ok_or_else(|| instance.map_or(Error::NotInitialised, |name| Error::NoInstance(name.clone())))
    }

    /// Lists the instances a command is about: the one named, else all.
    fn scope(&self, instance: Option<&InstanceName>) -> Result<Vec<Place>, Error> {
        match instance {
            Some(_) => Ok(vec![self.place(instance)?]),
            None => Ok(self.places().all()?),
        }
    }
}

/// Runs an asynchronous step to its end. On a thread of its own, because whoever calls may be on one
/// of a runtime.
fn finish<T: Send>(step: impl Future<Output = Result<T, office::Error>> + Send) -> Result<T, Error> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|_| office::Error::CutOff)?.block_on(step)
    };
    let done = std::thread::scope(|scope| scope.spawn(run).join());
    Ok(done.unwrap_or(Err(office::Error::CutOff))?)
}

fn address(text: &str) -> Result<crate::address::Address, Error> {
    crate::address::Address::parse(text).map_err(|source| Error::Address { text: text.to_owned(), source })
}
