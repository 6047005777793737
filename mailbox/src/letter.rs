//! A mail that we send: first as a value that can be stored, then as the bytes that go out.

use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::automated::LOOP_HEADER;
use crate::message::one_line;

/// First and last ids of a long References chain that are kept (RFC 5322 §3.6.4 wants all; lines
/// must stay readable to every relay).
const FIRST_REFERENCES: usize = 1;
const LAST_REFERENCES: usize = 20;

/// Longest text sent, in characters.
const MAX_TEXT: usize = 400_000;

/// One outgoing mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    pub(crate) from_name: String,
    pub(crate) from: Address,
    pub(crate) to: Vec<Address>,
    /// Those of `to` that it has still to reach, when others have it already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<Address>,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The id being answered, without brackets.
    pub(crate) in_reply_to: Option<String>,
    /// Ids of the conversation, oldest first, without brackets.
    pub(crate) references: Vec<String>,
    /// Ours, without brackets; the same at every attempt.
    pub(crate) message_id: String,
    /// `<instance>/<hop>`, on answers.
    pub(crate) hop: Option<String>,
}

/// The letter cannot be put into mail form.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the mail: {0}")]
pub(crate) struct Unwritable(String);

impl Letter {
    /// Returns whom it goes to.
    pub(crate) fn recipients(&self) -> &[Address] {
        if self.left.is_empty() { &self.to } else { &self.left }
    }

    /// Writes the mail as it goes out. `unix_seconds` dates it.
    pub(crate) fn to_bytes(&self, unix_seconds: u64) -> Result<Vec<u8>, Unwritable> {
        let mut builder = Message::builder()
            .date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds))
            .from(mailbox(&self.from_name, &self.from)?)
            .subject(one_line(&self.subject, 500))
            .message_id(Some(format!("<{}>", self.message_id)));
        for to in &self.to {
            builder = builder.to(mailbox("", to)?);
        }
        if let Some(id) = &self.in_reply_to {
            builder = builder.in_reply_to(format!("<{id}>"));
        }
        if !self.references.is_empty() {
            let ids: Vec<String> = bounded(&self.references).iter().map(|id| format!("<{id}>")).collect();
            builder = builder.references(ids.join(" "));
        }
        if let Some(hop) = &self.hop {
            // RFC 3834 §5; the second is Microsoft's word for the same wish.
            for (name, value) in [
                ("Auto-Submitted", "auto-replied"),
                ("X-Auto-Response-Suppress", "All"),
                (LOOP_HEADER, hop.as_str()),
            ] {
                let value = HeaderValue::new(HeaderName::new_from_ascii_str(name), one_line(value, 80));
                builder = builder.raw_header(value);
            }
        }
        let message = builder
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(printable(&self.text))
            .map_err(|error| Unwritable(error.to_string()))?;
        Ok(message.formatted())
    }
}

/// Returns the subject of an answer: `Re: ` unless some language's prefix stands there already. An
/// empty subject stays empty.
pub(crate) fn reply_subject(subject: &str) -> String {
    const PREFIXES: [&str; 14] = [
        "re:",
        "re：",
        "aw:",
        "sv:",
        "vs:",
        "antw:",
        "rv:",
        "odp:",
        "ynt:",
        "回复:",
        "回复：",
        "回覆:",
        "答复:",
        "答复：",
    ];
    let subject = one_line(subject, 480);
    let lower = subject.to_lowercase();
    if subject.is_empty() || PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return subject;
    }
    format!("Re: {subject}")
}

/// Chooses whom to answer: Reply-To when it stays in the sender's domain or is permitted itself.
pub(crate) fn recipient(
    sender: &Address,
    reply_to: Option<&Address>,
    is_allowed: impl Fn(&Address) -> bool,
) -> Address {
    let chosen = reply_to.filter(|to| to.domain() == sender.domain() || is_allowed(to));
    chosen.unwrap_or(sender).clone()
}

fn bounded(ids: &[String]) -> Vec<&String> {
    let tail = ids.len().saturating_sub(LAST_REFERENCES).max(FIRST_REFERENCES.min(ids.len()));
    ids[..FIRST_REFERENCES.min(ids.len())].iter().chain(&ids[tail..]).collect()
}

fn mailbox(name: &str, address: &Address) -> Result<Mailbox, Unwritable> {
    let parsed: lettre::Address =
        address.to_string().parse().map_err(|_| Unwritable(format!("bad address {address}")))?;
    let name = one_line(name, 100);
    Ok(Mailbox::new((!name.is_empty()).then_some(name), parsed))
}

fn printable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let kept = text.chars().filter(|&c| c == '\n' || c == '\t' || !c.is_control());
    kept.take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn letter() -> Letter {
        Letter {
            from_name: "Rowan (trial1)".into(),
            from: address("rowan+trial1@example.com"),
            to: vec![address("owner@example.com")],
            left: Vec::new(),
            subject: "Re: Zahlen für März".into(),
            text: "Here is the summary.\n\nGrüße".into(),
            in_reply_to: Some("reply-1@example.com".into()),
            references: vec!["plain-1@example.com".into(), "reply-1@example.com".into()],
            message_id: "remotelab-1@example.com".into(),
            hop: Some("trial1/1".into()),
        }
    }

    #[test]
    fn threads_and_marks_an_answer() {
        let bytes = letter().to_bytes(1_795_332_302).unwrap();
        let parsed = crate::message::parse(&bytes.into()).unwrap();
        let value = |name: &str| {
            let field = parsed.head.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value.clone()).unwrap_or_default()
        };
        assert_eq!(parsed.head.sender.unwrap(), address("rowan+trial1@example.com"));
        assert_eq!(parsed.head.subject, "Re: Zahlen für März");
        assert_eq!(parsed.text.trim_end(), "Here is the summary.\n\nGrüße");
        assert_eq!(parsed.head.in_reply_to, ["reply-1@example.com"]);
        assert_eq!(parsed.head.references, ["plain-1@example.com", "reply-1@example.com"]);
        assert_eq!(value("message-id"), "<remotelab-1@example.com>");
        assert_eq!(value("mime-version"), "1.0");
        assert_eq!(value("auto-submitted"), "auto-replied");
        assert_eq!(value("x-remotelab-loop"), "trial1/1");
        assert!(value("date").starts_with("Sun, 22 Nov 2026"));
    }

    #[test]
    fn bounds_the_chain_and_every_line() {
        let references: Vec<_> = (0..60).map(|n| format!("id-{n}-{}@example.com", "x".repeat(30))).collect();
        let long = Letter { references: references.clone(), subject: "ä".repeat(300), ..letter() };
        let bytes = long.to_bytes(0).unwrap();
        assert!(bytes.split(|&b| b == b'\n').all(|line| line.len() <= 998));
        let kept = crate::message::parse(&bytes.into()).unwrap().head.references;
        assert_eq!(kept.len(), 21);
        assert_eq!((kept.first(), kept.last()), (references.first(), references.last()));
    }

    #[test]
    fn prefixes_a_subject_once() {
        assert_eq!(reply_subject("Numbers"), "Re: Numbers");
        assert_eq!(reply_subject("AW: Zahlen"), "AW: Zahlen");
        assert_eq!(reply_subject("回复：数字"), "回复：数字");
        assert_eq!(reply_subject(" \r\n"), "");
    }

    #[test]
    fn answers_reply_to_only_within_reach() {
        let (sender, near, far) = (address("a@x.test"), address("b@x.test"), address("c@y.test"));
        assert_eq!(recipient(&sender, Some(&near), |_| false), near);
        assert_eq!(recipient(&sender, Some(&far), |_| false), sender);
        assert_eq!(recipient(&sender, Some(&far), |_| true), far);
        assert_eq!(recipient(&sender, None, |_| true), sender);
    }

    proptest! {
        #[test]
        fn no_text_of_a_sender_makes_a_header(evil in "[\\r\\n\\x00-\\x7fä:]{0,60}") {
            let letter = Letter {
                subject: format!("x\r\nBcc: a@b.c\r\n{evil}"),
                from_name: format!("n\r\nBcc: a@b.c\r\n{evil}"),
                ..letter()
            };
            let parsed = crate::message::parse(&letter.to_bytes(0).unwrap().into()).unwrap().head;
            prop_assert!(parsed.fields.iter().all(|field| !field.name.eq_ignore_ascii_case("bcc")));
            prop_assert_eq!(parsed.sender.unwrap(), address("rowan+trial1@example.com"));
        }
    }
}
