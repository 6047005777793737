//! A mail that we send: first as a value that can be stored, then as the bytes that go out.

use lettre::message::header::{
    ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0,
};
use lettre::message::{Attachment, Body, Mailbox, Message, MultiPart, SinglePart};
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
    /// The same text for readers that show HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<String>,
    /// Where an answer to it should go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<Address>,
    /// Where a report about it should go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bounce: Option<Bounce>,
    /// Its files, in the store of the instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<LetterFile>,
}

/// Where a report about a letter goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounce {
    /// What the letter is known by there.
    pub(crate) key: String,
    pub(crate) address: Address,
}

/// A file that goes along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LetterFile {
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
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

    /// Returns the envelope sender.
    pub(crate) fn envelope_from(&self) -> &Address {
        self.bounce.as_ref().map_or(&self.from, |bounce| &bounce.address)
    }

    /// Returns the sender with its name.
    pub(crate) fn sender(&self) -> String {
        mailbox(&self.from_name, &self.from)
            .map_or_else(|_| self.from.to_string(), |sender| sender.to_string())
    }

    /// Returns the value of `References`.
    pub(crate) fn references_header(&self) -> Option<String> {
        let ids: Vec<String> = bounded(&self.references).iter().map(|id| format!("<{id}>")).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// Returns the fields that tell other programs what it is: RFC 3834 §5, Microsoft's word for the same
    /// wish, and ours against loops.
    pub(crate) fn marks(&self) -> Vec<(&'static str, String)> {
        let Some(hop) = &self.hop else { return Vec::new() };
        vec![
            ("Auto-Submitted", "auto-replied".to_owned()),
            ("X-Auto-Response-Suppress", "All".to_owned()),
            (LOOP_HEADER, one_line(hop, 80)),
        ]
    }

    /// Writes the mail as it goes out. `unix_seconds` dates it; `files` are the contents of its files.
    pub(crate) fn to_bytes(&self, unix_seconds: u64, files: &[Vec<u8>]) -> Result<Vec<u8>, Unwritable> {
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
        if let Some(references) = self.references_header() {
            builder = builder.references(references);
        }
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(mailbox(&self.from_name, reply_to)?);
        }
        for (name, value) in self.marks() {
            builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        }
        let builder = builder.header(MIME_VERSION_1_0);
        let text = printable(&self.text);
        let html = self.html.as_deref().map(printable);
        let parts = self.files.iter().zip(files).map(|(file, bytes)| file.part(bytes));
        let message = match (html, self.files.is_empty()) {
            (None, true) => builder.header(ContentType::TEXT_PLAIN).body(text),
            (Some(html), true) => builder.multipart(MultiPart::alternative_plain_html(text, html)),
            (None, false) => builder.multipart(
                parts.fold(MultiPart::mixed().singlepart(SinglePart::plain(text)), MultiPart::singlepart),
            ),
            (Some(html), false) => builder.multipart(parts.fold(
                MultiPart::mixed().multipart(MultiPart::alternative_plain_html(text, html)),
                MultiPart::singlepart,
            )),
        };
        Ok(message.map_err(|error| Unwritable(error.to_string()))?.formatted())
    }
}

impl LetterFile {
    /// Always in base64: what a relay does to lines of text must not reach it.
    fn part(&self, bytes: &[u8]) -> SinglePart {
        let kind = ContentType::parse(&one_line(&self.mime_type, 100));
        let kind = kind
            .or_else(|_| ContentType::parse("application/octet-stream"))
            .unwrap_or(ContentType::TEXT_PLAIN);
        let body = Body::new_with_encoding(bytes.to_vec(), ContentTransferEncoding::Base64);
        let body = body.unwrap_or_else(Body::new);
        Attachment::new(one_line(&self.name, 200)).body(body, kind)
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
            html: None,
            reply_to: None,
            bounce: None,
            files: Vec::new(),
        }
    }

    #[test]
    fn threads_and_marks_an_answer() {
        let bytes = letter().to_bytes(1_795_332_302, &[]).unwrap();
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
        let bytes = long.to_bytes(0, &[]).unwrap();
        assert!(bytes.split(|&b| b == b'\n').all(|line| line.len() <= 998));
        let kept = crate::message::parse(&bytes.into()).unwrap().head.references;
        assert_eq!(kept.len(), 21);
        assert_eq!((kept.first(), kept.last()), (references.first(), references.last()));
    }

    #[test]
    fn carries_files_and_a_second_form() {
        let file = |name: &str, mime_type: &str| LetterFile {
            name: name.into(),
            mime_type: mime_type.into(),
            sha256: String::new(),
            size: 0,
        };
        let contents = [b"\r\nA\n.\n\xff\0".to_vec(), Vec::new()];
        let letter = Letter {
            html: Some("<p>Here is the summary.</p>".into()),
            files: vec![file("Résumé; final.csv", "text/csv"), file("empty\r\nBcc: a@b.c", "no type")],
            ..letter()
        };
        let parsed = crate::message::parse(&letter.to_bytes(0, &contents).unwrap().into()).unwrap();
        assert_eq!(parsed.text.trim_end(), "Here is the summary.\n\nGrüße");
        let files: Vec<_> =
            parsed.attachments.iter().map(|file| (file.name.as_str(), file.bytes.to_vec())).collect();
        assert_eq!(files[0], ("Résumé; final.csv", contents[0].clone()));
        assert_eq!(files[1].1, contents[1]);
        assert!(parsed.head.fields.iter().all(|field| !field.name.eq_ignore_ascii_case("bcc")));
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
            let parsed = crate::message::parse(&letter.to_bytes(0, &[]).unwrap().into()).unwrap().head;
            prop_assert!(parsed.fields.iter().all(|field| !field.name.eq_ignore_ascii_case("bcc")));
            prop_assert_eq!(parsed.sender.unwrap(), address("rowan+trial1@example.com"));
        }
    }
}
