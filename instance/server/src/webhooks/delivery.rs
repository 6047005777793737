//! One delivery: what is told to whom, and when it is tried again.

use std::time::Duration;

use remotelab_protocol::{Run, RunId, SessionId};
use serde::{Deserialize, Serialize};

use super::hook::{Event, Hook};
use crate::clock::now_iso;

/// The pauses after each failed attempt, in seconds; after the last, about 23 hours after the first attempt,
/// the delivery is given up.
const PAUSES: [u64; 10] = [1, 5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200];

/// A delivery as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    pub(super) id: String,
    pub(super) hook: String,
    pub(super) event: Event,
    pub(super) run_id: RunId,
    pub(super) session_id: SessionId,
    pub(super) created_at: String,
    /// How many attempts have failed.
    #[serde(default)]
    pub(super) attempts: usize,
    /// Unix milliseconds before which it is not tried.
    #[serde(default)]
    pub(super) next_attempt_at: i64,
    #[serde(default)]
    pub(super) last_error: Option<String>,
    /// Nothing is left to do; the file only says so until it is removed.
    #[serde(default)]
    pub(super) done: bool,
}

impl Delivery {
    pub(super) fn new(hook: &Hook, event: Event, run: &Run) -> Self {
        Self {
            id: format!("dlv_{}", hex::encode(rand::random::<[u8; 12]>())),
            hook: hook.id.clone(),
            event,
            run_id: run.id.clone(),
            session_id: run.session_id.clone(),
            created_at: now_iso(),
            attempts: 0,
            next_attempt_at: 0,
            last_error: None,
            done: false,
        }
    }

    /// Its file, below the configuration folder.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}.json", super::outbox::FOLDER, self.id)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record of text and numbers is always JSON")
    }

    /// Notes a failed attempt. `false` when there will be no other. `dice`, any number from 0 to 1, spreads
    /// the next one by a fifth, so that many waiting ones do not come back in step.
    pub(super) fn failed(&mut self, reason: &str, now_ms: i64, dice: f64) -> bool {
        let pause = PAUSES.get(self.attempts);
        self.attempts += 1;
        self.last_error = Some(reason.to_owned());
        let Some(&seconds) = pause else {
            return false;
        };
        let pause = Duration::from_secs(seconds).mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0));
        self.next_attempt_at = now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_about_a_day_and_then_given_up() {
        let hook = Hook::new(super::super::Wanted { url: "http://a/".into(), ..Default::default() }).unwrap();
        let manifest = serde_json::json!({"id": RunId::random(), "sessionId": SessionId::random(), "requestId": "r",
            "folder": "~", "tool": "t", "prompt": "", "internalOperation": null, "options": {}});
        let run = Run::accepted(&serde_json::from_value(manifest).unwrap(), "now");
        let mut delivery = Delivery::new(&hook, Event::Completed, &run);
        let mut now = 0;
        while delivery.failed("answered 500", now, 0.5) {
            assert!(delivery.next_attempt_at > now);
            now = delivery.next_attempt_at;
        }
        assert_eq!((delivery.attempts, now / 3_600_000), (11, 22));
        let read: Delivery = serde_json::from_slice(&delivery.bytes()).unwrap();
        assert_eq!(read, delivery);
    }
}
