//! Looking at mail and deciding about it.

use remotelab_config::InstanceName;
use remotelab_protocol::time::iso_from_ms;
use serde::Serialize;

use super::{Desk, Error};
use crate::state::Inbound;
use crate::store::{Filter, Item, Store};

/// Rows in a listing of one instance.
const LISTING: usize = 1_000;

/// The reviewer named when a command does not name one.
pub(super) const REVIEWER: &str = "manual-operator";

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
        self.list(queue, instance, LISTING)
    }

    /// Lists the newest mail, at most `limit`, of one instance or of all.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable store.
    pub fn list(
        &self,
        queue: Queue,
        instance: Option<&InstanceName>,
        limit: usize,
    ) -> Result<Vec<Summary>, Error> {
        let mut items = Vec::new();
        for place in self.scope(instance)? {
            if Store::exists(&place.root) {
                items.extend(self.office.store(&place)?.items(queue.filter(), limit)?);
            }
        }
        // Stable: of one millisecond the order of each mailbox stays.
        items.sort_by_key(|item| std::cmp::Reverse(item.received_at));
        items.truncate(limit);
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
