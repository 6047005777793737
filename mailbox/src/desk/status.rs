//! The state of all mailboxes at a glance.

use remotelab_config::InstanceName;
use serde::Serialize;
use serde_json::Value;

use super::{Desk, Error, Summary};
use crate::allowlist::Allowlist;
use crate::identity::Identity;
use crate::places::Place;
use crate::settings::{Authority, Automation, Bridge, OutboundSummary};
use crate::state::{Inbound, Outgoing};
use crate::store::{Filter, Store};

/// `mail status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The owner's mailbox root.
    pub root_dir: String,
    /// The identity; `null` before `mail init`.
    pub identity: Option<Identity>,
    /// The owner's allow-list.
    pub allowlist: Allowlist,
    /// The bridge's settings, without its token.
    pub bridge: Value,
    /// How mail leaves.
    pub outbound: OutboundSummary,
    /// The owner's automation.
    pub automation: Automation,
    /// The owner's mail.
    pub counts: Counts,
    /// The newest mail of each of the owner's queues.
    pub latest: Latest,
    /// The owner's letters.
    pub outbox: LetterCounts,
    /// The guests that can receive mail.
    pub instances: Vec<InstanceStatus>,
    /// What is known of the way in from outside.
    pub public_ingress: String,
    /// The same, or the identity's own word while nothing is known.
    pub effective_status: String,
    /// What should be looked at, one sentence each.
    pub diagnostics: Vec<String>,
}

/// A guest in `mail status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The guest.
    pub name: InstanceName,
    /// Its address.
    pub address: String,
    /// Its mail.
    pub counts: Counts,
    /// Its letters.
    pub outbox: LetterCounts,
}

/// Mails in each queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting for a person.
    pub review: u64,
    /// Held or put aside.
    pub quarantine: u64,
    /// Given to the instance.
    pub approved: u64,
}

/// The newest mail of each queue.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latest {
    /// Waiting for a person.
    pub review: Option<Summary>,
    /// Held or put aside.
    pub quarantine: Option<Summary>,
    /// Given to the instance.
    pub approved: Option<Summary>,
}

/// Letters in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LetterCounts {
    /// Waiting for a person.
    pub held: u64,
    /// To be sent, now or later.
    pub pending: u64,
    /// Taken by the relay.
    pub sent: u64,
    /// Perhaps taken.
    pub unconfirmed: u64,
    /// Come back.
    #[serde(skip_serializing_if = "is_zero")]
    pub bounced: u64,
    /// Given up.
    pub dead: u64,
}

impl Counts {
    pub(super) fn add(&mut self, states: &[(Inbound, u64)]) {
        for (state, count) in states {
            match state.queue() {
                "review" => self.review += count,
                "quarantine" => self.quarantine += count,
                _ => self.approved += count,
            }
        }
    }
}

impl LetterCounts {
    fn of(states: &[(Outgoing, u64)]) -> Self {
        let mut counts = Self::default();
        for (state, count) in states {
            match state {
                Outgoing::Held => counts.held += count,
                Outgoing::Pending | Outgoing::Sending => counts.pending += count,
                Outgoing::Sent => counts.sent += count,
                Outgoing::Unconfirmed => counts.unconfirmed += count,
                Outgoing::Bounced => counts.bounced += count,
                Outgoing::Dead => counts.dead += count,
            }
        }
        counts
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Desk {
    /// Reads the state of all mailboxes. Makes nothing.
    ///
    /// # Errors
    /// An unreadable file or store.
    pub fn status(&self) -> Result<Status, Error> {
        let places = self.places();
        let owner = self.place(None)?;
        let settings = places.settings(&owner)?;
        let bridge = places.bridge()?;
        let outbound = self.outbound_summary(&settings.outbound);
        let (counts, outbox) = self.counts(&owner)?;
        let instances = self.instances(settings.identity.as_ref())?;
        let public_ingress = bridge.as_ref().map_or("not_configured", |bridge| bridge.public_ingress());
        let own_word = || {
            let status = settings.identity.as_ref().and_then(|identity| identity.rest.get("status"));
            status.and_then(Value::as_str).unwrap_or("not_initialised").to_owned()
        };
        let effective_status = match public_ingress {
            "not_configured" | "bridge_configured_pending_validation" => own_word(),
            known => known.to_owned(),
        };
        let mut diagnostics = Vec::new();
        if settings.identity.is_none() {
            diagnostics.push("There is no mailbox yet; run: remotelab mail init".to_owned());
        } else if !outbound.configured {
            diagnostics.push(format!("Answers cannot be sent yet; {}", outbound.setup_hint));
        }
        if settings.policy.authority == Authority::None {
            let text = "Senders are not proved (authority none in policy.json): all mail waits for review.";
            diagnostics.push(text.to_owned());
        } else if settings.automation.allowlist_auto_approve {
            // Lists of older versions matched whatever stood in From.
            let text = "Mail runs without review only when its sender is proved (DKIM, SPF and DMARC). For a \
                        sender who cannot be: remotelab mail allow add ADDRESS --auth relaxed, and review it.";
            diagnostics.push(text.to_owned());
        }
        if outbox.dead + outbox.unconfirmed > 0 {
            let number = outbox.dead + outbox.unconfirmed;
            diagnostics.push(format!("{number} letters were given up or are unconfirmed."));
        }
        let held = outbox.held + instances.iter().map(|guest| guest.outbox.held).sum::<u64>();
        if held > 0 {
            diagnostics
                .push(format!("{held} letters wait for a person; list them: remotelab mail outbox held"));
        }
        Ok(Status {
            root_dir: owner.root.display().to_string(),
            bridge: bridge.as_ref().map_or(Value::Null, Bridge::shown),
            latest: self.latest(&owner)?,
            public_ingress: public_ingress.to_owned(),
            effective_status,
            identity: settings.identity,
            allowlist: settings.allowlist,
            automation: settings.automation,
            outbound,
            counts,
            outbox,
            instances,
            diagnostics,
        })
    }

    fn instances(&self, identity: Option<&Identity>) -> Result<Vec<InstanceStatus>, Error> {
        let Some(identity) = identity else {
            return Ok(Vec::new());
        };
        let mut instances = Vec::new();
        for place in self.places().all()? {
            let (counts, outbox) = self.counts(&place)?;
            if let Some(name) = place.name {
                let address = identity.guest_address(&name);
                instances.push(InstanceStatus { name, address, counts, outbox });
            }
        }
        Ok(instances)
    }

    fn counts(&self, place: &Place) -> Result<(Counts, LetterCounts), Error> {
        let mut counts = Counts::default();
        if !Store::exists(&place.root) {
            return Ok((counts, LetterCounts::default()));
        }
        let store = self.office.store(place)?;
        counts.add(&store.counts()?);
        Ok((counts, LetterCounts::of(&store.letter_counts()?)))
    }

    fn latest(&self, place: &Place) -> Result<Latest, Error> {
        if !Store::exists(&place.root) {
            return Ok(Latest::default());
        }
        let store = self.office.store(place)?;
        let newest = |queue| -> Result<Option<Summary>, Error> {
            Ok(store.items(Filter::Queue(queue), 1)?.first().map(Summary::of))
        };
        Ok(Latest {
            review: newest("review")?,
            quarantine: newest("quarantine")?,
            approved: newest("approved")?,
        })
    }
}
