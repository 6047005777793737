//! From a stored mail to a decided row. The header alone decides; the rest is read when the mail is
//! handed over.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;

use crate::address::Address;
use crate::admission;
use crate::automated::{self, Class, Evidence, LOOP_HEADER};
use crate::identity::Identity;
use crate::message::{self, Head, Message};
use crate::office::{Error, Office};
use crate::places::Place;
use crate::scan;
use crate::state::Inbound;
use crate::store::{Admitted, Facts, Item, Store};

/// Reads a stored mail and decides its fate. Blocks.
pub(crate) fn settle(office: &Office, place: &Place, store: &Store, id: &str) -> Result<(), Error> {
    let Some(item) = store.item(id)?.filter(|item| item.state == Inbound::Received) else {
        return Ok(());
    };
    let header = store.raw_head(&item.sha256, scan::MAX_HEADER as u64)?;
    let admitted = match guarded(|| message::head(&header).ok()) {
        Some(head) => judge(office, place, &item, &head)?,
        None => Admitted {
            state: Inbound::ParseFailed,
            reason: "parse_failed".to_owned(),
            facts: Facts::default(),
            reviewer: None,
        },
    };
    Ok(store.settle(id, admitted, office.clock.now())?)
}

/// Parses a whole mail.
pub(crate) fn read(raw: &Bytes) -> Option<Message> {
    guarded(|| message::parse(raw).ok())
}

/// A parser that panics on a mail parks it like one that gives up.
fn guarded<T>(parse: impl FnOnce() -> Option<T>) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(parse)).unwrap_or_default()
}

fn judge(office: &Office, place: &Place, item: &Item, message: &Head) -> Result<Admitted, Error> {
    let settings = office.places.settings(place)?;
    let class = classify(office, settings.identity.as_ref(), item, message)?;
    let verdict = admission::decide(
        message.sender.as_ref().map_err(|&fault| fault),
        class,
        &settings.allowlist,
        &settings.automation,
    );
    let text = |address: &Address| address.to_string();
    Ok(Admitted {
        state: verdict.state,
        reason: verdict.reason.to_owned(),
        reviewer: (verdict.state == Inbound::Approved).then_some(settings.automation.auto_approve_reviewer),
        facts: Facts {
            from: message.sender.as_ref().map(text).unwrap_or_default(),
            reply_to: message.reply_to.as_ref().map(text).unwrap_or_default(),
            subject: message.subject.clone(),
            date: message.date.clone(),
            in_reply_to: message.in_reply_to.clone(),
            references: message.references.clone(),
            class: Some(class),
            hops: hops(message),
            rule: match verdict.rule {
                Some(crate::allowlist::Rule::Email) => "email".to_owned(),
                Some(crate::allowlist::Rule::Domain) => "domain".to_owned(),
                None => String::new(),
            },
            claim_rejected: false,
            id_reuse: false,
        },
    })
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
