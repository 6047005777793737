//! From a stored mail to a decided row. The header decides, and what proves its sender; the rest is read
//! when the mail is handed over.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use remotelab_config::atomic;

use crate::address::Address;
use crate::admission::{self, Step};
use crate::allowlist::Rule;
use crate::automated::{self, Class, Evidence, LOOP_HEADER};
use crate::backoff;
use crate::clock::millis;
use crate::dsn;
use crate::identity::Identity;
use crate::ingest::Door;
use crate::message::{self, Head, Message};
use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::scan;
use crate::state::Inbound;
use crate::store::{self, Admitted, Facts, Item, Store};
use crate::subaddress::{self, Detail};
use crate::trust::{self, Question, Verdict, Word};

/// What is read of a report (bytes); the letter at its end may be long.
const MAX_REPORT: u64 = 1024 * 1024;

/// Reads a stored mail, has its sender proved where that matters, and decides its fate.
pub(crate) async fn settle(
    office: &Arc<Office>,
    place: &Place,
    store: &Arc<Store>,
    id: &str,
) -> Result<(), Error> {
    let case = {
        let (office, place, store, id) =
            (Arc::clone(office), place.clone(), Arc::clone(store), id.to_owned());
        blocking(move || open(&office, &place, &store, &id)).await?
    };
    let Some(mut case) = case else { return Ok(()) };
    let resolver = office.resolver();
    case.auth = Some(trust::check(resolver.as_deref(), &case.question).await);
    let (office, store) = (Arc::clone(office), Arc::clone(store));
    blocking(move || conclude(&office, &store, *case)).await
}

/// A mail whose sender is to be proved.
struct Case {
    item: Item,
    head: Head,
    class: Class,
    settings: Settings,
    question: Question,
    auth: Option<Verdict>,
}

/// Reads a mail and decides at once what needs no proof; what is left is returned. Blocks.
fn open(office: &Office, place: &Place, store: &Store, id: &str) -> Result<Option<Box<Case>>, Error> {
    let Some(item) = store.item(id)?.filter(|item| item.state == Inbound::Received) else {
        return Ok(None);
    };
    let now = office.clock.now();
    let header = store.raw_head(&item.sha256, scan::MAX_HEADER as u64)?;
    let Some(head) = guarded(|| message::head(&header).ok()) else {
        let admitted = Admitted {
            state: Inbound::ParseFailed,
            reason: "parse_failed".to_owned(),
            facts: Facts::default(),
            reviewer: None,
        };
        store.settle(id, admitted, now)?;
        return Ok(None);
    };
    let settings = office.places.settings(place)?;
    let class = classify(office, settings.identity.as_ref(), &item, &head)?;
    match (decide(&head, class, &settings, None, now), &head.sender) {
        (Step::Decided(verdict), _) => {
            if class == Class::Dsn
                && item.mail_from.as_deref().is_none_or(|from| from.trim_matches(['<', '>']).is_empty())
            {
                take_back(store, &item, now)?;
            }
            store.settle(id, admitted(&head, class, &settings, verdict, None), now)?;
            Ok(None)
        }
        (_, Err(_)) => Ok(None),
        (_, Ok(sender)) => {
            let policy = &settings.policy;
            let relay = if item.door == Door::Lmtp.as_str() { policy.relay_authserv.as_str() } else { "" };
            let question = Question::read(store.raw_file(&item.sha256)?, sender, policy.seal(), relay)
                .map_err(|source| {
                    store::Error::from(atomic::Error::new("read", place.root.as_path(), source))
                })?;
            Ok(Some(Box::new(Case { item, head, class, settings, question, auth: None })))
        }
    }
}

/// Looks which letter a report is about. Blocks.
fn take_back(store: &Store, item: &Item, now: i64) -> Result<(), Error> {
    let key = match subaddress::read(&item.rcpt) {
        Some(Detail::Bounce(key)) => Some(key),
        _ => None,
    };
    let raw = store.raw_head(&item.sha256, MAX_REPORT)?;
    if let Some(report) = guarded(|| dsn::parse(&raw))
        && let Some(letter) = store.bounced(key.as_deref(), &report, now)?
    {
        tracing::info!(mail.id = %item.id, letter.id = %letter, "a report about mail {letter} came back");
    }
    Ok(())
}

/// Decides when it is known what there is to know of the sender. Blocks.
fn conclude(office: &Office, store: &Store, case: Case) -> Result<(), Error> {
    let Case { item, head, class, settings, auth, .. } = case;
    let now = office.clock.now();
    let mut auth = auth.unwrap_or_default();
    let step = decide(&head, class, &settings, Some(auth.verdict), now);
    let verdict = match step {
        Step::Decided(verdict) => verdict,
        Step::Prove | Step::Wait => {
            if let Some(wait) = backoff::PROVING.wait(item.attempts + 1, rand::random()) {
                let why = "the name servers do not answer; the sender is not proved yet";
                return Ok(store.postpone(&item, now + millis(wait), Some(why))?);
            }
            auth.verdict = Word::None;
            let Step::Decided(verdict) = decide(&head, class, &settings, Some(Word::None), now) else {
                return Ok(());
            };
            verdict
        }
    };
    Ok(store.settle(&item.id, admitted(&head, class, &settings, verdict, Some(auth)), now)?)
}

fn decide(head: &Head, class: Class, settings: &Settings, word: Option<Word>, now: i64) -> Step {
    admission::decide(&admission::Case {
        sender: head.sender.as_ref().map_err(|&fault| fault),
        class,
        word,
        allowlist: &settings.allowlist,
        automation: &settings.automation,
        policy: &settings.policy,
        now,
    })
}

fn admitted(
    head: &Head,
    class: Class,
    settings: &Settings,
    verdict: admission::Verdict,
    auth: Option<Verdict>,
) -> Admitted {
    let text = |address: &Address| address.to_string();
    let reviewer = &settings.automation.auto_approve_reviewer;
    Admitted {
        state: verdict.state,
        reason: verdict.reason.to_owned(),
        reviewer: (verdict.state == Inbound::Approved).then(|| reviewer.clone()),
        facts: Facts {
            from: head.sender.as_ref().map(text).unwrap_or_default(),
            reply_to: head.reply_to.as_ref().map(text).unwrap_or_default(),
            subject: head.subject.clone(),
            date: head.date.clone(),
            in_reply_to: head.in_reply_to.clone(),
            references: head.references.clone(),
            class: Some(class),
            hops: hops(head),
            auth,
            rule: match verdict.rule {
                Some(Rule::Email) => "email".to_owned(),
                Some(Rule::Domain) => "domain".to_owned(),
                Some(Rule::Subdomain) => "subdomain".to_owned(),
                None => String::new(),
            },
            claim_rejected: false,
            id_reuse: false,
        },
    }
}

/// Parses a whole mail.
pub(crate) fn read(raw: &Bytes) -> Option<Message> {
    guarded(|| message::parse(raw).ok())
}

/// A parser that panics on a mail parks it like one that gives up.
fn guarded<T>(parse: impl FnOnce() -> Option<T>) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(parse)).unwrap_or_default()
}

fn classify(
    office: &Office,
    identity: Option<&Identity>,
    item: &Item,
    message: &Head,
) -> Result<Class, Error> {
    let sender = message.sender.as_ref().ok();
    let guests = office.places.guests()?;
    let from_ourselves = match (identity, sender) {
        (Some(identity), Some(sender)) => {
            is_own_address(identity, sender)
                || guests.iter().any(|guest| {
                    guest.address.as_ref() == Some(sender)
                        || sender.key() == identity.guest_address(&guest.name)
                })
        }
        _ => false,
    };
    Ok(automated::classify(&Evidence {
        fields: &message.fields,
        mail_from: item.mail_from.as_deref(),
        sender,
        subject: &message.subject,
        references: message.references.len(),
        from_ourselves,
    }))
}

fn is_own_address(identity: &Identity, sender: &Address) -> bool {
    sender.key() == identity.owner_address() || sender.key() == identity.address.to_lowercase()
}

fn hops(message: &Head) -> u32 {
    let field = message.fields.iter().find(|field| field.name.eq_ignore_ascii_case(LOOP_HEADER));
    field.and_then(|field| field.value.rsplit('/').next()?.trim().parse().ok()).unwrap_or_default()
}
