//! Looking closely at one mail, and what can be done with it beside reviewing it.

use remotelab_config::InstanceName;
use remotelab_protocol::time::iso_from_ms;
use serde::Serialize;

use super::{Desk, Error, Summary};
use crate::clock::millis;
use crate::intake;
use crate::places::Place;
use crate::state::{Failure, Inbound, Outgoing};
use crate::store::{Done, Facts, Item, Row, Store};
use crate::text;
use std::sync::Arc;
use std::time::Duration;

/// What pruning deletes: mail that is done with. What failed is kept until somebody looked at it.
const DONE: [Inbound; 6] = [
    Inbound::Answered,
    Inbound::NoReply,
    Inbound::Rejected,
    Inbound::Quarantined,
    Inbound::Noted,
    Inbound::ParseFailed,
];

/// All that is known of one mail.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// As in listings.
    #[serde(flatten)]
    pub summary: Summary,
    /// The door it came through.
    pub door: String,
    /// Where it came from.
    pub source: String,
    /// Envelope sender; empty for reports, absent when unknown.
    pub mail_from: Option<String>,
    /// Its Message-ID, or the one that was made up for it.
    pub message_id: String,
    /// SHA-256 of the raw mail.
    pub sha256: String,
    /// Its length in bytes.
    pub size: i64,
    /// What its header says.
    facts: Facts,
    /// Who decided.
    pub reviewer: Option<String>,
    /// Failed attempts to hand it over.
    pub attempts: u32,
    /// The text as the session gets it; absent when the raw mail cannot be read.
    pub text: Option<Text>,
    /// Its files.
    pub files: Vec<MailFile>,
    /// The letter that answers it.
    pub answer: Option<Answer>,
    /// What happened to it, oldest first.
    pub history: Vec<Step>,
}

/// The text of a mail in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// What was written.
    pub reply: String,
    /// What was quoted.
    pub quoted: String,
    /// The signature.
    pub signature: String,
}

/// A file of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime_type: String,
    /// Its size in bytes.
    pub size: usize,
}

/// A letter of ours.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The letter's id.
    pub id: String,
    /// `reply`, `failure` or `manual`.
    pub kind: String,
    /// Where it stands.
    pub state: Outgoing,
    /// Attempts to send it.
    pub attempts: u32,
    /// Its text.
    pub text: String,
    /// What the relay said when it took it.
    pub response: Option<String>,
    last_error: Option<Failure>,
}

/// One line of a mail's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// ISO time.
    pub at: String,
    /// What happened.
    pub event: String,
    /// With what.
    pub detail: String,
}

/// What `mail delete` and `mail prune` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// How many mails were deleted, or would be.
    pub deleted: u64,
    /// Whether nothing was done but counting.
    pub dry_run: bool,
}

/// What `mail retry` set going.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Retried {
    /// A mail is handed over again.
    Mail(Box<Summary>),
    /// A letter is sent again.
    Letter(Box<Answer>),
}

impl Desk {
    /// Tells all that is known of a mail.
    ///
    /// # Errors
    /// [`Error::NoMail`], or an unreadable store.
    pub fn show(&self, id: &str) -> Result<Mail, Error> {
        let (store, item) = self.find(id)?;
        let raw = store.raw(&item.sha256).ok();
        let message = raw.and_then(|raw| intake::read(&raw.into()));
        let files = message.iter().flat_map(|message| &message.attachments).map(|file| MailFile {
            name: file.name.clone(),
            mime_type: file.mime_type.clone(),
            size: file.bytes.len(),
        });
        let answer = item.answered_by.as_deref().map(|id| store.letter(id)).transpose()?.flatten();
        let history = store.history(id)?.into_iter();
        Ok(Mail {
            summary: Summary::of(&item),
            files: files.collect(),
            text: message.as_ref().map(|message| {
                let parts = text::extract(&message.text, &message.head.subject);
                Text { reply: parts.reply, quoted: parts.quoted, signature: parts.signature }
            }),
            answer: answer.map(Answer::of),
            history: history
                .map(|line| Step { at: iso_from_ms(line.at), event: line.event, detail: line.detail })
                .collect(),
            door: item.door,
            source: item.source,
            mail_from: item.mail_from,
            message_id: item.message_id,
            sha256: item.sha256,
            size: item.size,
            facts: item.facts,
            reviewer: item.reviewer,
            attempts: item.attempts,
        })
    }

    /// Returns the mail as it came.
    ///
    /// # Errors
    /// [`Error::NoMail`], or an unreadable file.
    pub fn raw(&self, id: &str) -> Result<Vec<u8>, Error> {
        let (store, item) = self.find(id)?;
        Ok(store.raw(&item.sha256)?)
    }

    /// Tries again at once: a mail that waits or has failed, or a letter that waits or was given up.
    ///
    /// # Errors
    /// [`Error::NoMail`] or [`Error::NotNow`].
    pub fn retry(&self, id: &str) -> Result<Retried, Error> {
        let now = self.office.clock.now();
        for (_, store) in self.stores(None)? {
            if let Some(item) = store.item(id)? {
                if matches!(item.state, Inbound::Failed | Inbound::Dead) {
                    return Ok(Retried::Mail(Box::new(self.release(id, None)?)));
                }
                allowed(store.hurry(id, now)?, id, item.state.as_str(), "tried again")?;
                return Ok(Retried::Mail(Box::new(self.summary(id)?)));
            }
            if let Some(row) = store.letter(id)? {
                allowed(store.resend(id, now)?, id, row.state.as_str(), "sent again")?;
                let row = store.letter(id)?.unwrap_or(row);
                return Ok(Retried::Letter(Box::new(Answer::of(row))));
            }
        }
        Err(Error::NoMail(id.to_owned()))
    }

    /// Reads a mail anew, with the settings of now and as if it had just come.
    ///
    /// # Errors
    /// [`Error::NoMail`], or [`Error::NotNow`] while it is being worked on.
    pub fn replay(&self, id: &str) -> Result<Summary, Error> {
        let (store, item) = self.find(id)?;
        let done = store.replay(id, self.office.clock.now())?;
        allowed(done, id, item.state.as_str(), "replayed")?;
        let place = self.stores(None)?.into_iter().find(|(_, one)| Arc::ptr_eq(one, &store));
        if let Some((place, store)) = place {
            super::finish(intake::settle(&self.office, &place, &store, id))?;
        }
        self.summary(id)
    }

    /// Deletes a mail with its raw bytes. Its session and the letters to its sender stay.
    ///
    /// # Errors
    /// [`Error::NoMail`], or [`Error::NotNow`] while it is being worked on.
    pub fn delete(&self, id: &str) -> Result<Deleted, Error> {
        let (store, item) = self.find(id)?;
        allowed(store.delete(id, self.office.clock.now())?, id, item.state.as_str(), "deleted")?;
        Ok(Deleted { deleted: 1, dry_run: false })
    }

    /// Deletes the mails that are done with and older than `age`, of one instance or of all. What failed
    /// is kept, and so is what waits.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unusable store.
    pub fn prune(
        &self,
        age: Duration,
        instance: Option<&InstanceName>,
        dry_run: bool,
    ) -> Result<Deleted, Error> {
        let now = self.office.clock.now();
        let before = now - millis(age);
        let mut deleted = 0;
        for (_, store) in self.stores(instance)? {
            if dry_run {
                deleted += store.count_old(&DONE, before)?;
            } else {
                deleted += store.prune(&DONE, before, now)?;
                store.sweep_unused()?;
            }
        }
        Ok(Deleted { deleted, dry_run })
    }

    fn summary(&self, id: &str) -> Result<Summary, Error> {
        Ok(Summary::of(&self.find(id)?.1))
    }

    fn find(&self, id: &str) -> Result<(Arc<Store>, Item), Error> {
        for (_, store) in self.stores(None)? {
            if let Some(item) = store.item(id)? {
                return Ok((store, item));
            }
        }
        Err(Error::NoMail(id.to_owned()))
    }

    /// The mailboxes of one instance or of all.
    pub(super) fn stores(&self, instance: Option<&InstanceName>) -> Result<Vec<(Place, Arc<Store>)>, Error> {
        let mut stores = Vec::new();
        for place in self.scope(instance)? {
            if Store::exists(&place.root) {
                let store = self.office.store(&place)?;
                stores.push((place, store));
            }
        }
        Ok(stores)
    }
}

impl Answer {
    fn of(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            state: row.state,
            attempts: row.attempts,
            text: row.letter.text,
            response: row.response,
            last_error: row.last_error,
        }
    }
}

pub(super) fn allowed(done: Done, id: &str, state: &'static str, verb: &'static str) -> Result<(), Error> {
    match done {
        Done::Yes => Ok(()),
        Done::No => Err(Error::NotNow { id: id.to_owned(), state, verb }),
        Done::Unknown => Err(Error::NoMail(id.to_owned())),
    }
}
