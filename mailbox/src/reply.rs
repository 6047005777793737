//! The letter that answers a mail.

use crate::address::Address;
use crate::identity::{AddressMode, Identity};
use crate::letter::{self, Bounce, Letter};
use crate::markup;
use crate::places::{Place, Settings};
use crate::store::Item;
use crate::subaddress;

/// One failure notice a conversation within this time (milliseconds).
pub(crate) const NOTICE_PAUSE: i64 = 60 * 60 * 1000;

/// What a failed run's sender is told.
pub(crate) const FAILURE_NOTICE: &str =
    "I am sorry, I could not finish this; please answer this mail to let me try again.";

/// Writes the answer to a mail. `None`: there is no identity to answer as or no sender to answer.
pub(crate) fn compose(
    item: &Item,
    place: &Place,
    settings: &Settings,
    token: Option<&str>,
    text: &str,
) -> Option<Letter> {
    let identity = settings.identity.as_ref()?;
    let allowlist = &settings.allowlist;
    let sender = Address::parse(&item.facts.from).ok()?;
    let reply_to = Address::parse(&item.facts.reply_to).ok();
    let to =
        letter::recipient(&sender, reply_to.as_ref(), |to| allowlist.find(to, item.received_at).is_some());
    let mut references = item.facts.references.clone();
    for id in item.facts.in_reply_to.iter().chain([&item.message_id]) {
        if !references.contains(id) {
            references.push(id.clone());
        }
    }
    let name = place.name.as_ref();
    let has_subaddresses =
        settings.policy.subaddresses.unwrap_or(identity.instance_address_mode == AddressMode::Plus);
    let behind =
        |detail: String| has_subaddresses.then(|| subaddress::write(identity, name, &detail)).flatten();
    let key = subaddress::bounce_key();
    Some(Letter {
        from_name: sender_name(place, identity),
        from: own_address(item, place, identity)?,
        to: vec![to],
        left: Vec::new(),
        subject: letter::reply_subject(&item.facts.subject),
        text: text.to_owned(),
        html: if settings.policy.plain_text { None } else { markup::html(text) },
        reply_to: token.and_then(|token| behind(format!("r-{token}"))),
        bounce: behind(format!("b-{key}")).map(|address| Bounce { key, address }),
        files: Vec::new(),
        in_reply_to: Some(item.message_id.clone()),
        references,
        message_id: new_id(identity),
        hop: Some(format!("{}/{}", name.map_or("owner", |name| name.as_str()), item.facts.hops + 1)),
    })
}

/// Tells whether a sender is told of a failure: only who is proved to have written, since a forged address
/// is somebody else's.
pub(crate) fn is_told(item: &Item, settings: &Settings) -> bool {
    item.facts.word().is_proof() && !settings.policy.silent
}

/// The name that letters of an instance bear.
pub(crate) fn sender_name(place: &Place, identity: &Identity) -> String {
    place.name.as_ref().map_or_else(|| identity.name.clone(), |name| format!("{} ({name})", identity.name))
}

/// Draws the id of a letter.
pub(crate) fn new_id(identity: &Identity) -> String {
    format!("remotelab-{:032x}@{}", rand::random::<u128>(), identity.domain)
}

/// The address that an instance usually writes from.
pub(crate) fn usual_address(place: &Place, identity: &Identity) -> Option<Address> {
    Address::parse(&usual(place, identity)).ok()
}

fn usual(place: &Place, identity: &Identity) -> String {
    match &place.name {
        Some(name) => identity.guest_address(name),
        None => identity.owner_address(),
    }
}

/// The address the mail was sent to, when it is a plain one of ours; else the instance's usual one.
fn own_address(item: &Item, place: &Place, identity: &Identity) -> Option<Address> {
    let usual = usual(place, identity);
    let used = Address::parse(&item.rcpt).ok().filter(|used| {
        let plain = [identity.owner_address(), usual.clone()];
        let other_spelling = place.name.as_ref().map(|name| {
            [
                format!("{name}@{}", identity.domain),
                format!("{}+{name}@{}", identity.local_part, identity.domain),
            ]
        });
        plain.iter().chain(other_spelling.iter().flatten()).any(|known| used.key() == known)
            && (place.name.is_none() || used.key() != identity.owner_address())
    });
    used.or_else(|| Address::parse(&usual).ok())
}
