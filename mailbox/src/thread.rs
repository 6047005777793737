//! Which conversation a mail belongs to.

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

/// What an id is to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody used it.
    Unknown,
    /// It belongs to conversations that the sender has no part in.
    Foreign,
    /// The sender has a part in this conversation, which it belongs to.
    Part(i64),
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
}

/// Finds the conversation: by any known id, the newest reference first. Knowing an id is no right to
/// join: a sender without a part in that conversation opens a new one and sees none of the old.
pub(crate) fn resolve<E>(
    claims: &Claims<'_>,
    mut standing: impl FnMut(&str) -> Result<Standing, E>,
) -> Result<Resolution, E> {
    let mut claim_rejected = false;
    for id in claims.references.iter().rev().chain(claims.in_reply_to) {
        match standing(id)? {
            Standing::Unknown => {}
            Standing::Foreign => claim_rejected = true,
            Standing::Part(thread_id) => return Ok(Resolution::Continues(thread_id)),
        }
    }
    // The key leads to a session of the same name. It must not be an id that already stands for
    // another conversation, though a sender is free to put one into his Message-ID.
    let key = if standing(claims.message_id)? == Standing::Unknown {
        format!("<{}>", claims.message_id)
    } else {
        format!("<{}@instance.invalid>", claims.item_id)
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

    /// Two conversations; an id that both use is one for each sender.
    fn standing(sender: &str, id: &str) -> Standing {
        let parts: &[(&str, i64)] = match id {
            "m1@a" | "r1@us" => &[("a@x.test", 1)],
            "m2@b" => &[("b@x.test", 2)],
            "both@x" => &[("a@x.test", 1), ("b@x.test", 2)],
            _ => return Standing::Unknown,
        };
        let part = parts.iter().find(|(who, _)| *who == sender);
        part.map_or(Standing::Foreign, |(_, thread_id)| Standing::Part(*thread_id))
    }

    fn resolved(sender: &str, references: &[&str], in_reply_to: &[&str], own: &str) -> Resolution {
        let owned = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        let claims = Claims {
            item_id: "mail_1",
            message_id: own,
            references: &owned(references),
            in_reply_to: &owned(in_reply_to),
        };
        let found = |id: &str| Ok::<_, std::convert::Infallible>(standing(sender, id));
        resolve(&claims, found).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn follows_any_known_id_newest_first() {
        assert_eq!(resolved("a@x.test", &["m1@a", "r1@us"], &[], "n"), Resolution::Continues(1));
        assert_eq!(resolved("a@x.test", &[], &["r1@us"], "n"), Resolution::Continues(1));
        assert_eq!(resolved("a@x.test", &["gone@x", "m1@a"], &[], "n"), Resolution::Continues(1));
        assert_eq!(resolved("a@x.test", &["both@x"], &[], "n"), Resolution::Continues(1));
        assert_eq!(resolved("b@x.test", &["both@x"], &[], "n"), Resolution::Continues(2));
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
            ids in prop::collection::vec(prop_oneof![Just("m1@a"), Just("r1@us"), Just("m2@b"), Just("both@x"), Just("q")], 0..6),
            own in prop_oneof![Just("m1@a"), Just("both@x"), Just("new@x")],
        ) {
            let opens = matches!(
                resolved("stranger@x.test", &ids, &ids, own),
                Resolution::Opens { key, .. } if key != "<m1@a>" && key != "<both@x>"
            );
            prop_assert!(opens);
        }
    }
}
