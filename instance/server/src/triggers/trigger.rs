//! The record of one trigger, and what may become of it. Pure: the time comes in from outside.

use jiff::{SignedDuration, Timestamp};
use remotelab_protocol::time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How long after a failed delivery the next is tried; there is none after the last.
const RETRIES: [SignedDuration; 2] = [SignedDuration::from_secs(30), SignedDuration::from_mins(2)];

/// A message that is delivered to a session at a time, as stored in `chat-triggers.json` and shown on the
/// wire. Unknown fields survive a rewrite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trigger {
    pub(crate) id: String,
    #[serde(default = "at_time")]
    trigger_type: String,
    #[serde(default = "session_message")]
    action_type: String,
    pub(crate) status: Status,
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) session_id: String,
    /// ISO time.
    pub(crate) scheduled_at: String,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) tool: String,
    #[serde(default)]
    pub(crate) model: String,
    #[serde(default)]
    pub(crate) effort: String,
    #[serde(default)]
    pub(crate) thinking: bool,
    /// The key under which its message is submitted, so that it becomes one run however often it is tried.
    pub(crate) request_id: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    #[serde(default)]
    pub(crate) delivery_attempts: u32,
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    /// The caller's key of the request that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) creation_request_id: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What is known about a delivery: absent before the first, then empty where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Delivery {
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_mode: Option<Mode>,
}

/// Where a trigger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    /// Claimed: its message is being submitted, or was when a server died.
    Delivering,
    Delivered,
    Failed,
    Cancelled,
}

/// What became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Run,
    Queued,
    /// Not yet known.
    #[serde(rename = "")]
    None,
}

/// What is asked for when a trigger is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) session_id: String,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) text: String,
    pub(crate) title: String,
    pub(crate) tool: String,
    pub(crate) model: String,
    pub(crate) effort: String,
    pub(crate) thinking: bool,
    pub(crate) enabled: bool,
    pub(crate) request_id: Option<String>,
}

/// What is to be different; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) title: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) scheduled_at: Option<Timestamp>,
    pub(crate) text: Option<String>,
    pub(crate) tool: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<String>,
    pub(crate) thinking: Option<bool>,
    pub(crate) enabled: Option<bool>,
}

/// Why a trigger cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fixed {
    #[error("Delivered triggers cannot be modified; create a new trigger instead")]
    Delivered,
    #[error("Trigger is currently delivering")]
    Delivering,
}

impl Trigger {
    pub(crate) fn new(wanted: Wanted, now: Timestamp) -> Self {
        let id = format!("trg_{}", hex::encode(rand::random::<[u8; 12]>()));
        let now = time::iso(now);
        Self {
            request_id: format!("trigger:{id}"),
            id,
            trigger_type: at_time(),
            action_type: session_message(),
            status: if wanted.enabled { Status::Pending } else { Status::Cancelled },
            enabled: wanted.enabled,
            title: wanted.title,
            session_id: wanted.session_id,
            scheduled_at: time::iso(wanted.scheduled_at),
            text: wanted.text,
            tool: wanted.tool,
            model: wanted.model,
            effort: wanted.effort,
            thinking: wanted.thinking,
            created_at: now.clone(),
            updated_at: now,
            delivery_attempts: 0,
            delivery: Delivery::default(),
            creation_request_id: wanted.request_id,
            rest: Map::new(),
        }
    }

    /// The order of lists: what is still to come first, then by time.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |trigger: &Self| {
            (trigger.status != Status::Pending, trigger.scheduled_at.clone(), trigger.id.clone())
        };
        key(self).cmp(&key(other))
    }

    /// When it is to be delivered next; `None` when it is not. One that is `delivering` was left so by a
    /// server that died, since a server delivers one after the other: it is due at once.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        if !self.enabled || !matches!(self.status, Status::Pending | Status::Delivering) {
            return None;
        }
        let scheduled = time::parse_iso(&self.scheduled_at)?;
        let retry = self.delivery.next_attempt_at.as_deref().and_then(time::parse_iso);
        Some(retry.map_or(scheduled, |retry| retry.max(scheduled)))
    }

    /// Tells whether nothing is to come of it any more, unless somebody changes it.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status, Status::Delivered | Status::Failed)
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// Takes it for delivery.
    pub(crate) fn claim(&mut self, now: Timestamp) {
        let now = time::iso(now);
        self.status = Status::Delivering;
        self.delivery_attempts = self.delivery_attempts.saturating_add(1);
        let old = std::mem::take(&mut self.delivery);
        self.delivery = Delivery {
            claimed_at: Some(now.clone()),
            last_attempt_at: Some(now.clone()),
            last_error: old.last_error.or_else(empty),
            last_error_at: old.last_error_at.or_else(empty),
            ..Delivery::nothing()
        };
        self.updated_at = now;
    }

    /// Notes that its message was accepted.
    pub(crate) fn delivered(&mut self, mode: Mode, run: Option<String>, now: Timestamp) {
        let now = time::iso(now);
        self.status = Status::Delivered;
        self.enabled = false;
        self.delivery = Delivery {
            last_attempt_at: self.delivery.last_attempt_at.take(),
            delivered_at: Some(now.clone()),
            run_id: run.or_else(empty),
            delivery_mode: Some(mode),
            ..Delivery::nothing()
        };
        self.updated_at = now;
    }

    /// Notes that its message was refused: it is tried again later, or never when that is pointless.
    pub(crate) fn failed(&mut self, reason: String, is_final: bool, now: Timestamp) {
        let tried = usize::try_from(self.delivery_attempts).unwrap_or(usize::MAX);
        let retry = RETRIES.get(tried.saturating_sub(1)).filter(|_| !is_final);
        self.status = if retry.is_some() { Status::Pending } else { Status::Failed };
        self.enabled = retry.is_some();
        self.delivery.claimed_at = empty();
        self.delivery.next_attempt_at =
            retry.and_then(|wait| now.checked_add(*wait).ok()).map(time::iso).or_else(empty);
        self.delivery.last_error = Some(reason);
        self.delivery.last_error_at = Some(time::iso(now));
        self.updated_at = time::iso(now);
    }

    /// Changes it. A change of anything but the title begins its delivery anew: one that had failed is due
    /// again, one that was cancelled stays so until it is enabled.
    pub(crate) fn edit(&mut self, edit: Edit, now: Timestamp) -> Result<(), Fixed> {
        let title_alone = Edit { title: None, ..edit.clone() } == Edit::default();
        match self.status {
            Status::Delivering => return Err(Fixed::Delivering),
            Status::Delivered if !title_alone => return Err(Fixed::Delivered),
            _ => {}
        }
        self.updated_at = time::iso(now);
        if let Some(title) = edit.title {
            self.title = title;
        }
        if title_alone {
            return Ok(());
        }
        if let Some(at) = edit.scheduled_at {
            self.scheduled_at = time::iso(at);
        }
        for (field, value) in [
            (&mut self.session_id, edit.session_id),
            (&mut self.text, edit.text),
            (&mut self.tool, edit.tool),
            (&mut self.model, edit.model),
            (&mut self.effort, edit.effort),
        ] {
            if let Some(value) = value {
                *field = value;
            }
        }
        self.thinking = edit.thinking.unwrap_or(self.thinking);
        self.enabled = edit.enabled.unwrap_or(self.status != Status::Cancelled);
        self.status = if self.enabled { Status::Pending } else { Status::Cancelled };
        self.delivery_attempts = 0;
        self.delivery = Delivery::default();
        Ok(())
    }

    /// The name that people read in the session.
    pub(crate) fn label(&self) -> &str {
        if self.title.is_empty() { &self.id } else { &self.title }
    }
}

impl Delivery {
    /// All fields there, and nothing in them.
    fn nothing() -> Self {
        Self {
            claimed_at: empty(),
            last_attempt_at: empty(),
            next_attempt_at: empty(),
            delivered_at: empty(),
            last_error: empty(),
            last_error_at: empty(),
            run_id: empty(),
            delivery_mode: Some(Mode::None),
        }
    }
}

/// Tells whether a text has the form of a trigger's id.
pub(crate) fn is_id(text: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("trg_").is_some_and(|digits| digits.len() == 24 && digits.bytes().all(is_hex))
}

fn at_time() -> String {
    "at_time".to_owned()
}

fn session_message() -> String {
    "session_message".to_owned()
}

fn empty() -> Option<String> {
    Some(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_332_600 + seconds).unwrap()
    }

    fn trigger() -> Trigger {
        let wanted = Wanted {
            session_id: "92e7fe15061b149cabc6f13f72c25a89".into(),
            scheduled_at: at(10),
            text: "wake up".into(),
            enabled: true,
            ..Wanted::default()
        };
        Trigger::new(wanted, at(0))
    }

    #[test]
    fn it_is_delivered_at_its_time_and_never_again() {
        let mut trigger = trigger();
        assert!(is_id(&trigger.id));
        assert!(!trigger.is_due(at(9)) && trigger.is_due(at(10)));
        trigger.claim(at(10));
        assert!(trigger.is_due(at(10)), "a server that died here left it to the next");
        trigger.delivered(Mode::Run, Some("run_1".into()), at(11));
        assert!(!trigger.is_due(at(9_999)));
        assert_eq!(
            serde_json::to_value(&trigger).unwrap(),
            json!({
                "id": trigger.id, "triggerType": "at_time", "actionType": "session_message", "status": "delivered",
                "enabled": false, "title": "", "sessionId": trigger.session_id, "scheduledAt": time::iso(at(10)),
                "text": "wake up", "tool": "", "model": "", "effort": "", "thinking": false,
                "requestId": format!("trigger:{}", trigger.id), "createdAt": time::iso(at(0)),
                "updatedAt": time::iso(at(11)), "deliveryAttempts": 1, "claimedAt": "",
                "lastAttemptAt": time::iso(at(10)), "nextAttemptAt": "", "deliveredAt": time::iso(at(11)),
                "lastError": "", "lastErrorAt": "", "runId": "run_1", "deliveryMode": "run",
            })
        );
    }

    #[test]
    fn three_attempts_and_then_it_failed() {
        let mut trigger = trigger();
        for (now, next) in [(10, Some(40)), (40, Some(160)), (160, None)] {
            assert!(trigger.is_due(at(now)));
            trigger.claim(at(now));
            trigger.failed("no disk".into(), false, at(now));
            assert_eq!(trigger.due_at(), next.map(at));
        }
        assert_eq!((trigger.status, trigger.delivery_attempts), (Status::Failed, 3));
        assert_eq!(trigger.delivery.last_error.as_deref(), Some("no disk"));
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        let mut trigger = trigger();
        trigger.claim(at(10));
        trigger.failed("Session not found".into(), true, at(10));
        assert_eq!((trigger.status, trigger.enabled, trigger.due_at()), (Status::Failed, false, None));
    }

    #[test]
    fn a_change_begins_delivery_anew() {
        let mut failed = trigger();
        failed.claim(at(10));
        failed.failed("Session is archived".into(), true, at(10));
        let later = Edit { scheduled_at: Some(at(50)), ..Edit::default() };
        failed.edit(later.clone(), at(20)).unwrap();
        assert_eq!((failed.delivery_attempts, failed.due_at()), (0, Some(at(50))));
        assert_eq!(failed.delivery, Delivery::default());

        let mut cancelled = trigger();
        let enable = |enabled| Edit { enabled: Some(enabled), ..Edit::default() };
        cancelled.edit(enable(false), at(1)).unwrap();
        cancelled.edit(enable(false), at(1)).unwrap();
        cancelled.edit(later, at(2)).unwrap();
        assert_eq!((cancelled.status, cancelled.due_at()), (Status::Cancelled, None));
        cancelled.edit(enable(true), at(3)).unwrap();
        assert_eq!((cancelled.status, cancelled.due_at()), (Status::Pending, Some(at(50))));
    }

    #[test]
    fn what_was_delivered_stays_but_for_its_title() {
        let mut trigger = trigger();
        trigger.claim(at(10));
        let title = Edit { title: Some("new".into()), ..Edit::default() };
        assert_eq!(trigger.edit(title.clone(), at(10)), Err(Fixed::Delivering));
        trigger.delivered(Mode::Queued, None, at(10));
        trigger.edit(title, at(11)).unwrap();
        assert_eq!((trigger.label(), trigger.status), ("new", Status::Delivered));
        let enable = Edit { enabled: Some(true), ..Edit::default() };
        assert_eq!(trigger.edit(enable, at(12)), Err(Fixed::Delivered));
    }

    #[test]
    fn the_next_to_come_stands_first() {
        let (early, mut late, mut done) = (trigger(), trigger(), trigger());
        late.scheduled_at = time::iso(at(60));
        done.claim(at(10));
        done.delivered(Mode::Run, None, at(10));
        let mut list = vec![done.clone(), late.clone(), early.clone()];
        list.sort_by(Trigger::order);
        assert_eq!(list, [early, late, done]);
    }

    #[test]
    fn fields_of_other_versions_survive() {
        let mut stored = serde_json::to_value(trigger()).unwrap();
        stored["colour"] = json!("red");
        stored["nextAttemptAt"] = json!("");
        let read: Trigger = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), stored);
    }
}
