//! Which conversation a mail belongs to.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A conversation as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) id: i64,
    /// Addresses (in lower case) that have a part in it.
    pub(crate) participants: BTreeSet<String>,
}

/// The verdict on one mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It continues a known conversation.
    Continues(i64),
    /// It opens one. `claim_rejected`: it named a conversation its sender has no part in.
    Opens { key: String, claim_rejected: bool },
}

/// What a mail says about where it belongs.
pub(crate) struct Claims<'a> {
    pub(crate) item_id: &'a str,
    pub(crate) message_id: &'a str,
    /// Ids of References, oldest first.
    pub(crate) references: &'a [String],
    pub(crate) in_reply_to: &'a [String],
    /// The sender's address in lower case.
    pub(crate) sender: &'a str,
}

/// Finds the conversation: by any known id, the newest reference first. Knowing an id is no right to
/// join: a sender without a part in that conversation opens a new one and sees none of the old.
pub(crate) fn resolve<E>(
    claims: &Claims<'_>,
    mut find: impl FnMut(&str) -> Result<Option<Thread>, E>,
) -> Result<Resolution, E> {
    let mut claim_rejected = false;
    for id in claims.references.iter().rev().chain(claims.in_reply_to) {
        let Some(thread) = find(id)? else { continue };
        if thread.participants.contains(claims.sender) {
            return Ok(Resolution::Continues(thread.id));
        }
        claim_rejected = true;
    }
    // The key leads to a session of the same name. It must not be an id that already stands for
    // somebody else's conversation, though a sender is free to put one into his Message-ID.
    let key = if find(claims.message_id)?.is_some() {
        format!("<{}@instance.invalid>", claims.item_id)
    } else {
        format!("<{}>", claims.message_id)
    };
    Ok(Resolution::Opens { key, claim_rejected })
}

/// Returns the name by which the chat server finds the conversation's session.
pub(crate) fn external_trigger_id(key: &str) -> String {
    format!("email-thread:{}", utf8_percent_encode(key, COMPONENT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(id: &str) -> Result<Option<Thread>, std::convert::Infallible> {
        let thread = |id, who: &str| Thread { id, participants: [who.to_owned()].into() };
        Ok(match id {
            "m1@a" | "r1@us" => Some(thread(1, "a@x.test")),
            "m2@b" => Some(thread(2, "b@x.test")),
            _ => None,
        })
    }

    fn resolved(sender: &str, references: &[&str], in_reply_to: &[&str], own: &str) -> Resolution {
        let owned = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        resolve(
            &Claims {
                item_id: "mail_1",
                message_id: own,
                references: &owned(references),
                in_reply_to: &owned(in_reply_to),
                sender,
            },
            known,
        )
        .unwrap_or_else(|never| match never {})
    }

    #[test]
    fn follows_any_known_id_newest_first() {
        assert_eq!(resolved("a@x.test", &["m1@a", "r1@us"], &[], "n"), Resolution::Continues(1));
        assert_eq!(resolved("a@x.test", &[], &["r1@us"], "n"), Resolution::Continues(1));
        assert_eq!(resolved("a@x.test", &["gone@x", "m1@a"], &[], "n"), Resolution::Continues(1));
        assert_eq!(
            resolved("a@x.test", &["gone@x"], &[], "n@x"),
            Resolution::Opens { key: "<n@x>".into(), claim_rejected: false }
        );
    }

    #[test]
    fn nobody_joins_by_quoting_an_id() {
        assert_eq!(
            resolved("b@x.test", &["m1@a"], &[], "n@x"),
            Resolution::Opens { key: "<n@x>".into(), claim_rejected: true }
        );
        assert_eq!(
            resolved("b@x.test", &[], &[], "m1@a"),
            Resolution::Opens { key: "<mail_1@instance.invalid>".into(), claim_rejected: false }
        );
    }

    #[test]
    fn names_sessions_as_connectors_always_did() {
        assert_eq!(external_trigger_id("<att-1@example.com>"), "email-thread:%3Catt-1%40example.com%3E");
    }

    proptest! {
        #[test]
        fn a_stranger_never_continues_anything(
            ids in prop::collection::vec(prop_oneof![Just("m1@a"), Just("r1@us"), Just("m2@b"), Just("q")], 0..6),
            own in prop_oneof![Just("m1@a"), Just("new@x")],
        ) {
            let opens = matches!(
                resolved("stranger@x.test", &ids, &ids, own),
                Resolution::Opens { key, .. } if key != "<m1@a>"
            );
            prop_assert!(opens);
        }
    }
}
