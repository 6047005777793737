//! The fate of a mail that has been read: who sent it, what it is, and what follows.

use crate::address::Address;
use crate::allowlist::{Allowlist, Rule};
use crate::automated::Class;
use crate::message::SenderFault;
use crate::settings::Automation;
use crate::state::Inbound;

/// Time in which answers of one conversation are counted (milliseconds).
pub(crate) const RALLY_WINDOW: i64 = 10 * 60 * 1000;

/// As many answers within the window are two machines talking to each other.
const RALLY: u32 = 5;

/// A verdict with its reason, a stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: Inbound,
    pub(crate) reason: &'static str,
    pub(crate) rule: Option<Rule>,
}

/// Decides. Only mail of a permitted, namable sender and written by a person can become work.
pub(crate) fn decide(
    sender: Result<&Address, SenderFault>,
    class: Class,
    allowlist: &Allowlist,
    automation: &Automation,
) -> Verdict {
    let held = |state, reason| Verdict { state, reason, rule: None };
    let Ok(sender) = sender else {
        return held(Inbound::Quarantined, "malformed_from");
    };
    let reason = match class {
        Class::Personal => None,
        Class::AutoReply => Some("auto_reply"),
        Class::Dsn => Some("dsn"),
        Class::Bulk => Some("bulk"),
        Class::Loop => Some("loop"),
    };
    if let Some(reason) = reason {
        return held(Inbound::Noted, reason);
    }
    let Some(rule) = allowlist.find(sender) else {
        return held(Inbound::Quarantined, "not_allowlisted");
    };
    let (state, reason) = if automation.allowlist_auto_approve {
        (Inbound::Approved, "auto_approved")
    } else {
        (Inbound::PendingReview, "review")
    };
    Verdict { state, reason, rule: Some(rule) }
}

/// Tells whether a conversation had so many answers that a person should look before the next one.
pub(crate) fn is_rally(answers: u32) -> bool {
    answers >= RALLY
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_class() -> impl Strategy<Value = Class> {
        prop_oneof![
            Just(Class::Personal),
            Just(Class::AutoReply),
            Just(Class::Dsn),
            Just(Class::Bulk),
            Just(Class::Loop)
        ]
    }

    proptest! {
        #[test]
        fn work_needs_a_permitted_person_and_a_switch(
            known in any::<bool>(), permitted in any::<bool>(), auto in any::<bool>(), class in any_class())
        {
            let owner = Address::parse("owner@example.com").unwrap();
            let mut allowlist = Allowlist::default();
            if permitted {
                allowlist.add("owner@example.com").unwrap();
            }
            let automation = Automation { allowlist_auto_approve: auto, ..Automation::default() };
            let sender = if known { Ok(&owner) } else { Err(SenderFault::Several) };
            let verdict = decide(sender, class, &allowlist, &automation);
            let is_work = known && permitted && class == Class::Personal;
            prop_assert_eq!(verdict.state == Inbound::Approved, is_work && auto);
            prop_assert_eq!(verdict.state == Inbound::PendingReview, is_work && !auto);
            prop_assert_eq!(verdict.state == Inbound::Noted, known && class != Class::Personal);
        }
    }
}
