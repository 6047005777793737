//! The fate of a mail that has been read: who sent it, whether that is proved, and what follows.

use crate::address::Address;
use crate::allowlist::{Allowlist, Rule, Strictness};
use crate::automated::Class;
use crate::message::SenderFault;
use crate::settings::{Authority, Automation, Fate, Policy};
use crate::state::Inbound;
use crate::trust::Word;

/// Time in which answers of one conversation are counted (milliseconds).
pub(crate) const RALLY_WINDOW: i64 = 10 * 60 * 1000;

/// As many answers within the window are two machines talking to each other.
const RALLY: u32 = 5;

/// What a mail is decided by.
pub(crate) struct Case<'a> {
    pub(crate) sender: Result<&'a Address, SenderFault>,
    pub(crate) class: Class,
    /// What is known of the sender; `None` before anybody looked.
    pub(crate) word: Option<Word>,
    pub(crate) allowlist: &'a Allowlist,
    pub(crate) automation: &'a Automation,
    pub(crate) policy: &'a Policy,
    /// Unix milliseconds.
    pub(crate) now: i64,
}

/// A verdict with its reason, a stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: Inbound,
    pub(crate) reason: &'static str,
    pub(crate) rule: Option<Rule>,
}

/// What to do with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Find out whether its sender is who he says.
    Prove,
    /// Find it out later: the name servers do not answer.
    Wait,
    Decided(Verdict),
}

/// Decides. Only mail of a permitted, proved sender and written by a person can become work by itself.
pub(crate) fn decide(case: &Case<'_>) -> Step {
    let held = |state, reason| Step::Decided(Verdict { state, reason, rule: None });
    let Ok(sender) = case.sender else {
        return held(Inbound::Quarantined, "malformed_from");
    };
    let reason = match case.class {
        Class::Personal => None,
        Class::AutoReply => Some("auto_reply"),
        Class::Dsn => Some("dsn"),
        Class::Bulk => Some("bulk"),
        Class::Loop => Some("loop"),
    };
    if let Some(reason) = reason {
        return held(Inbound::Noted, reason);
    }
    let word = match case.word {
        _ if case.policy.authority == Authority::None => Word::None,
        Some(word) => word,
        None => return Step::Prove,
    };
    let entry = case.allowlist.find(sender, case.now);
    let is_relaxed = entry.is_some_and(|entry| entry.auth == Strictness::Relaxed);
    if word == Word::Fail && !is_relaxed {
        return held(case.policy.dmarc_fail.state(), "auth_failed");
    }
    let Some(entry) = entry else {
        return held(case.policy.first_contact.state(), "not_allowlisted");
    };
    let (state, reason) = match word {
        _ if is_relaxed => (Inbound::PendingReview, "relaxed_entry"),
        Word::TempError => return Step::Wait,
        word if !word.is_proof() => (Inbound::PendingReview, "unproved_sender"),
        _ if case.automation.allowlist_auto_approve => (Inbound::Approved, "auto_approved"),
        _ => (Inbound::PendingReview, "review"),
    };
    Step::Decided(Verdict { state, reason, rule: Some(entry.rule) })
}

impl Fate {
    fn state(self) -> Inbound {
        match self {
            Self::Quarantine => Inbound::Quarantined,
            Self::Review => Inbound::PendingReview,
            Self::Reject => Inbound::Rejected,
        }
    }
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

    fn any_word() -> impl Strategy<Value = Option<Word>> {
        prop_oneof![
            Just(None),
            Just(Some(Word::Pass)),
            Just(Some(Word::AlignedNoPolicy)),
            Just(Some(Word::None)),
            Just(Some(Word::Fail)),
            Just(Some(Word::TempError))
        ]
    }

    fn fate(word: Word, entry: Option<Strictness>, policy: &Policy) -> Step {
        let mut allowlist = Allowlist::default();
        if let Some(auth) = entry {
            allowlist.put("owner@example.com", auth, None).unwrap();
        }
        let automation = Automation { allowlist_auto_approve: true, ..Automation::default() };
        let owner = Address::parse("owner@example.com").unwrap();
        decide(&Case {
            sender: Ok(&owner),
            class: Class::Personal,
            word: Some(word),
            allowlist: &allowlist,
            automation: &automation,
            policy,
            now: 0,
        })
    }

    #[test]
    fn follows_the_table() {
        use Inbound::{Approved, PendingReview, Quarantined, Rejected};
        use Strictness::{Relaxed, Required};
        let decided = |state, reason, is_permitted: bool| {
            Step::Decided(Verdict { state, reason, rule: is_permitted.then_some(Rule::Email) })
        };
        let policy = Policy::default();
        for (word, entry, expected) in [
            (Word::Pass, Some(Required), decided(Approved, "auto_approved", true)),
            (Word::AlignedNoPolicy, Some(Required), decided(Approved, "auto_approved", true)),
            (Word::None, Some(Required), decided(PendingReview, "unproved_sender", true)),
            (Word::Fail, Some(Required), decided(Quarantined, "auth_failed", false)),
            (Word::TempError, Some(Required), Step::Wait),
            (Word::Pass, Some(Relaxed), decided(PendingReview, "relaxed_entry", true)),
            (Word::Fail, Some(Relaxed), decided(PendingReview, "relaxed_entry", true)),
            (Word::Pass, None, decided(Quarantined, "not_allowlisted", false)),
            (Word::Fail, None, decided(Quarantined, "auth_failed", false)),
            (Word::TempError, None, decided(Quarantined, "not_allowlisted", false)),
        ] {
            assert_eq!(fate(word, entry, &policy), expected, "{word:?} {entry:?}");
        }
        let strict = Policy { dmarc_fail: Fate::Reject, first_contact: Fate::Review, ..Policy::default() };
        assert_eq!(fate(Word::Fail, None, &strict), decided(Rejected, "auth_failed", false));
        assert_eq!(fate(Word::None, None, &strict), decided(PendingReview, "not_allowlisted", false));
        let closed = Policy { authority: Authority::None, ..Policy::default() };
        assert_eq!(
            fate(Word::Pass, Some(Required), &closed),
            decided(PendingReview, "unproved_sender", true)
        );
    }

    proptest! {
        #[test]
        fn work_needs_a_permitted_proved_person_and_a_switch(
            known in any::<bool>(), permitted in any::<bool>(), auto in any::<bool>(), class in any_class(),
            word in any_word())
        {
            let owner = Address::parse("owner@example.com").unwrap();
            let mut allowlist = Allowlist::default();
            if permitted {
                allowlist.add("owner@example.com").unwrap();
            }
            let automation = Automation { allowlist_auto_approve: auto, ..Automation::default() };
            let sender = if known { Ok(&owner) } else { Err(SenderFault::Several) };
            let policy = Policy::default();
            let step = decide(&Case {
                sender, class, word, allowlist: &allowlist, automation: &automation, policy: &policy, now: 0 });
            let is_personal = known && class == Class::Personal;
            prop_assert_eq!(step == Step::Prove, is_personal && word.is_none());
            let state = match step { Step::Decided(verdict) => Some(verdict.state), _ => None };
            let is_proved = word.is_some_and(Word::is_proof);
            prop_assert_eq!(state == Some(Inbound::Approved), is_personal && permitted && is_proved && auto);
            prop_assert_eq!(state == Some(Inbound::Noted), known && class != Class::Personal);
        }
    }
}
