//! Answers of an instance for targets that connectors named become letters.
//!
//! Whoever may create a session may name a target, so none of it is believed: a letter leaves from an address of that
//! instance alone, and at once only to people from whom it takes mail or who take part in the conversation. A
//! person decides about the others. Where a target says that its mail is kept is not looked at.

use remotelab_client::{Carried, Completion};
use remotelab_protocol::RunState;
use serde_json::json;

use crate::address::Address;
use crate::allowlist::Allowlist;
use crate::identity::Identity;
use crate::letter::Letter;
use crate::markup;
use crate::message::one_line;
use crate::office::Error;
use crate::places::{Place, Settings};
use crate::recipient::{self, Guest};
use crate::reply::{self, FAILURE_NOTICE, NOTICE_PAUSE};
use crate::scan::message_ids;
use crate::state::Outgoing;
use crate::store::{NewLetter, Row, Store};

/// The longest reason that is reported, in characters.
const REASON: usize = 300;

/// What becomes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Letter(Box<Bound>),
    /// No letter is written, and why.
    Refused(String),
}

/// A letter, and what it is bound for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    letter: Letter,
    /// `reply` or `failure`.
    kind: &'static str,
    /// The conversation in which its recipient takes part.
    thread_id: Option<i64>,
    /// Whether a person is to look at it first.
    held: bool,
}

/// What decides about answers of an instance.
struct Rules<'a> {
    place: &'a Place,
    identity: &'a Identity,
    guests: &'a [Guest],
    allowlist: &'a Allowlist,
    /// Unix milliseconds.
    now: i64,
}

/// Brings an answer further and returns what is to be reported of it: its letter is written down before, and known
/// when the answer is told again. Blocks.
pub(crate) fn further(
    store: &Store,
    place: &Place,
    settings: &Settings,
    guests: &[Guest],
    completion: &Completion,
    now: i64,
) -> Result<Option<Carried>, Error> {
    let Some(identity) = &settings.identity else { return Ok(None) };
    let target = format!("completion:{}", completion.id);
    if let Some(row) = store.letter_for(&target)? {
        return Ok(report(&row, completion, settings));
    }
    let rules = Rules { place, identity, guests, allowlist: &settings.allowlist, now };
    let ids = conversation(completion);
    let takes_part = |to: &Address| store.conversation_of(&ids, to.key());
    let bound = match rules.decide(completion, takes_part)? {
        Fate::Refused(why) => return Ok(Some(Carried::Failed(why))),
        Fate::Letter(bound) => bound,
    };
    let Bound { letter, kind, thread_id, held } = &*bound;
    let new = NewLetter { target: &target, kind, thread_id: *thread_id, letter };
    let unless_since = (*kind == "failure").then_some(now - NOTICE_PAUSE);
    Ok(match store.take(&new, *held, unless_since, now)? {
        Some(row) => report(&row, completion, settings),
        // Its conversation had such a notice just now.
        None => Some(Carried::Failed(failure(completion))),
    })
}

/// What a letter's row makes worth reporting.
fn report(row: &Row, completion: &Completion, settings: &Settings) -> Option<Carried> {
    if row.kind == "failure" {
        return Some(Carried::Failed(failure(completion)));
    }
    let error = || row.last_error.as_ref().map(|failure| one_line(&failure.text, REASON)).unwrap_or_default();
    match row.state {
        Outgoing::Sent => {
            let said = row.response.as_deref().unwrap_or_default();
            Some(Carried::Sent(json!({
                "provider": settings.outbound.provider,
                "responseMessage": one_line(said, REASON),
                "letterId": row.id,
            })))
        }
        Outgoing::Dead | Outgoing::Bounced => Some(Carried::Failed(error())),
        Outgoing::Unconfirmed => {
            Some(Carried::Failed(format!("the relay may or may not have taken it: {}", error())))
        }
        Outgoing::Pending | Outgoing::Sending | Outgoing::Held => {
            (!completion.taken).then_some(Carried::Sending)
        }
    }
}

impl Rules<'_> {
    fn decide(
        &self,
        completion: &Completion,
        takes_part: impl FnOnce(&Address) -> Result<Option<i64>, crate::store::Error>,
    ) -> Result<Fate, Error> {
        let target = &completion.target;
        let Ok(to) = Address::parse(&target.to) else {
            return Ok(Fate::Refused("to is not an e-mail address".to_owned()));
        };
        let Some(from) = self.sender(&target.from) else {
            return Ok(Fate::Refused("from is not an address of this instance".to_owned()));
        };
        let thread_id = takes_part(&to)?;
        let held = thread_id.is_none() && self.allowlist.find(&to, self.now).is_none();
        let text = match completion.state {
            RunState::Completed => text(completion),
            _ => None,
        };
        let (kind, text) = match text {
            Some(text) => ("reply", text),
            // Nobody wants to look at those.
            None if held => return Ok(Fate::Refused(failure(completion))),
            None => ("failure", FAILURE_NOTICE.to_owned()),
        };
        let in_reply_to = message_ids(&target.in_reply_to).into_iter().next();
        let letter = Letter {
            from_name: reply::sender_name(self.place, self.identity),
            from,
            to: vec![to],
            left: Vec::new(),
            subject: one_line(&target.subject, 480),
            html: markup::html(&text),
            text,
            references: conversation(completion),
            in_reply_to,
            message_id: reply::new_id(self.identity),
            hop: Some(format!("{}/1", self.place.name.as_ref().map_or("owner", |name| name.as_str()))),
            reply_to: None,
            bounce: None,
            files: Vec::new(),
        };
        Ok(Fate::Letter(Box::new(Bound { letter, kind, thread_id, held })))
    }

    /// The address that a target wants to write from, or the instance's usual one.
    fn sender(&self, wanted: &str) -> Option<Address> {
        if wanted.trim().is_empty() {
            return reply::usual_address(self.place, self.identity);
        }
        let wanted = Address::parse(wanted).ok()?;
        let routed = recipient::resolve(&wanted, self.identity, self.guests).ok()?;
        (routed.guest == self.place.name && routed.detail.is_none()).then_some(wanted)
    }
}

/// The ids of the mails that are answered, oldest first.
fn conversation(completion: &Completion) -> Vec<String> {
    let mut ids = message_ids(&completion.target.references);
    for id in message_ids(&completion.target.in_reply_to) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn text(completion: &Completion) -> Option<String> {
    let names: Vec<&str> = completion.attachments.iter().map(|file| file.display_name()).collect();
    let files = (!names.is_empty()).then(|| format!("(Files in the session: {})", names.join(", ")));
    let parts: Vec<String> = completion.reply.clone().into_iter().chain(files).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn failure(completion: &Completion) -> String {
    let why = match (completion.state, &completion.failure_reason) {
        (_, Some(reason)) => reason.as_str(),
        (RunState::Cancelled, None) => "the run was cancelled",
        (RunState::Completed, None) => "the run said nothing",
        (_, None) => "the run failed",
    };
    one_line(why, REASON)
}

#[cfg(test)]
mod tests {
    use remotelab_config::InstanceName;
    use serde_json::Value;

    use super::*;

    fn fate(answer: Value, takes_part: Option<i64>) -> Fate {
        let mut all = json!({"id": "run_1:t", "state": "completed", "reply": "Done.",
            "target": {"to": "owner@example.com", "subject": "Re: Numbers", "mailboxRoot": "/elsewhere",
                "inReplyTo": "<b@x.test>", "references": "<a@x.test> <b@x.test>"}});
        for (key, value) in answer.as_object().unwrap() {
            match value.as_object() {
                Some(fields) => all[key].as_object_mut().unwrap().extend(fields.clone()),
                None => all[key] = value.clone(),
            }
        }
        let name = InstanceName::normalise("trial1").unwrap();
        let place = Place {
            name: Some(name.clone()),
            root: "/r".into(),
            config: "/c".into(),
            base_url: String::new(),
            auth_file: "/a".into(),
        };
        let identity: Identity =
            serde_json::from_value(json!({"name": "Rowan", "localPart": "rowan", "domain": "example.com"}))
                .unwrap();
        let mut allowlist = Allowlist::default();
        allowlist.add("owner@example.com").unwrap();
        let guests = [Guest { name, aliases: Vec::new(), address: None }];
        let rules =
            Rules { place: &place, identity: &identity, guests: &guests, allowlist: &allowlist, now: 0 };
        rules.decide(&serde_json::from_value(all).unwrap(), |_| Ok(takes_part)).unwrap()
    }

    fn bound(answer: Value, takes_part: Option<i64>) -> Bound {
        match fate(answer, takes_part) {
            Fate::Letter(bound) => *bound,
            Fate::Refused(why) => panic!("{why}"),
        }
    }

    #[test]
    fn an_answer_becomes_a_letter_of_its_conversation() {
        let Bound { letter, kind, thread_id, held } = bound(json!({}), Some(7));
        assert_eq!((kind, thread_id, held), ("reply", Some(7), false));
        assert_eq!(
            letter,
            Letter {
                from_name: "Rowan (trial1)".into(),
                from: Address::parse("rowan+trial1@example.com").unwrap(),
                to: vec![Address::parse("owner@example.com").unwrap()],
                left: Vec::new(),
                subject: "Re: Numbers".into(),
                text: "Done.".into(),
                in_reply_to: Some("b@x.test".into()),
                references: vec!["a@x.test".into(), "b@x.test".into()],
                message_id: letter.message_id.clone(),
                hop: Some("trial1/1".into()),
                html: letter.html.clone(),
                reply_to: None,
                bounce: None,
                files: Vec::new(),
            }
        );
    }

    #[test]
    fn only_people_who_are_known_are_written_to_at_once() {
        let stranger = json!({"target": {"to": "stranger@elsewhere.test"}});
        assert!(bound(stranger.clone(), None).held);
        assert!(!bound(stranger, Some(1)).held);
        assert!(!bound(json!({}), None).held);
    }

    #[test]
    fn it_leaves_from_an_address_of_its_instance_alone() {
        let from = |from: &str| fate(json!({"target": {"from": from}}), None);
        for own in ["rowan+trial1@example.com", "trial1@example.com", ""] {
            assert!(matches!(from(own), Fate::Letter(_)), "{own}");
        }
        for foreign in ["rowan@example.com", "trial2@example.com", "boss@elsewhere.test", "x"] {
            assert_eq!(from(foreign), Fate::Refused("from is not an address of this instance".into()));
        }
        assert_eq!(
            fate(json!({"target": {"to": "a@b.c, d@e.f"}}), None),
            Fate::Refused("to is not an e-mail address".into())
        );
    }

    #[test]
    fn failures_are_told_to_those_who_are_known() {
        let failed = json!({"state": "failed", "failureReason": "codex is not signed in"});
        let notice = bound(failed.clone(), None);
        assert_eq!((notice.kind, notice.letter.text.as_str()), ("failure", FAILURE_NOTICE));
        let mut stranger = failed;
        stranger["target"] = json!({"to": "stranger@elsewhere.test"});
        assert_eq!(fate(stranger, None), Fate::Refused("codex is not signed in".into()));
        assert_eq!(bound(json!({"reply": null}), None).kind, "failure");
        let files = json!({"reply": null, "attachments": [{"originalName": "a.pdf"}]});
        assert_eq!(bound(files, None).letter.text, "(Files in the session: a.pdf)");
    }
}
