//! One parsed mail: everything later steps decide on, as plain values.

mod body;
mod parts;

pub(crate) use parts::Attachment;

use bytes::Bytes;
use mail_parser::{HeaderName, HeaderValue, MessageParser};

use crate::address::Address;
use crate::scan::{self, Field};

/// Longest subject kept.
const MAX_SUBJECT_CHARS: usize = 500;

/// Most references kept; classification refuses longer chains anyway.
const MAX_REFERENCES: usize = 200;

/// A mail, read once.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    /// The whole readable text.
    pub(crate) text: String,
    pub(crate) attachments: Vec<Attachment>,
}

/// What a mail's header says.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) sender: Result<Address, SenderFault>,
    /// The one mailbox of Reply-To, when there is exactly one.
    pub(crate) reply_to: Option<Address>,
    pub(crate) subject: String,
    /// The Date value as written.
    pub(crate) date: String,
    pub(crate) in_reply_to: Vec<String>,
    pub(crate) references: Vec<String>,
    /// The header as it stands, for classification.
    pub(crate) fields: Vec<Field>,
}

/// Why nobody can be held to have sent a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SenderFault {
    #[error("the mail has no From header")]
    Missing,
    #[error("the mail has more than one From header")]
    Several,
    #[error("the From header does not hold exactly one address")]
    NotOneMailbox,
}

/// The bytes are not a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not readable as a mail")]
pub(crate) struct Unreadable;

/// Reads a mail from its raw bytes. Files that are not encoded stay parts of them.
pub(crate) fn parse(raw: &Bytes) -> Result<Message, Unreadable> {
    let parsed = MessageParser::default().parse(raw).ok_or(Unreadable)?;
    Ok(Message {
        head: read_head(&parsed, raw),
        text: body::text(&parsed),
        attachments: parts::attachments(parsed, raw),
    })
}

/// Reads a mail's header from its first bytes.
pub(crate) fn head(raw: &[u8]) -> Result<Head, Unreadable> {
    let parsed = MessageParser::default().parse_headers(raw).ok_or(Unreadable)?;
    Ok(read_head(&parsed, raw))
}

fn read_head(parsed: &mail_parser::Message<'_>, raw: &[u8]) -> Head {
    let fields = scan::fields(scan::header_block(raw));
    let value = |name: &str| {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map(|field| field.value.as_str()).unwrap_or_default()
    };
    let mut references = scan::message_ids(value("references"));
    references.drain(..references.len().saturating_sub(MAX_REFERENCES));
    Head {
        sender: sender(parsed, &fields),
        reply_to: parsed.reply_to().and_then(single_mailbox),
        subject: one_line(parsed.subject().unwrap_or_default(), MAX_SUBJECT_CHARS),
        date: one_line(value("date"), 100),
        in_reply_to: scan::message_ids(value("in-reply-to")),
        references,
        fields,
    }
}

/// Returns the one address that wrote the mail (RFC 5322 §3.6.2 allows several; we hold nobody to
/// those). The header is counted in the raw bytes too: two readers that disagree on what From is are
/// what a forger hopes for.
fn sender(parsed: &mail_parser::Message<'_>, fields: &[Field]) -> Result<Address, SenderFault> {
    let raw = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("from")).count();
    let mut values = parsed.header_values(HeaderName::From);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(if raw == 0 { SenderFault::Missing } else { SenderFault::Several });
    };
    if raw != 1 {
        return Err(SenderFault::Several);
    }
    match value {
        HeaderValue::Address(address) => single_mailbox(address),
        _ => None,
    }
    .ok_or(SenderFault::NotOneMailbox)
}

fn single_mailbox(address: &mail_parser::Address<'_>) -> Option<Address> {
    let [only] = address.as_list()? else {
        return None;
    };
    Address::parse(only.address()?).ok()
}

/// Puts a value onto one line without control characters.
pub(crate) fn one_line(text: &str, max_chars: usize) -> String {
    let spaced: String =
        text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let joined = spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    joined.chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both ways of reading a header say the same.
    fn read(header: &str) -> Head {
        let raw = Bytes::from(format!("{header}\r\nSubject: x\r\n\r\nText\r\n"));
        let alone = head(&raw).unwrap();
        assert_eq!(parse(&raw).unwrap().head, alone);
        alone
    }

    #[test]
    fn believes_the_address_and_never_the_name() {
        let cases = [
            ("From: Owner <owner@example.com>", Ok("owner@example.com".to_owned())),
            ("From: owner@example.com", Ok("owner@example.com".to_owned())),
            ("From: \"owner@example.com\" <attacker@evil.test>", Ok("attacker@evil.test".into())),
            ("From: 用户 <用户@例子.测试>", Ok("用户@例子.测试".into())),
            (
                "From: =?utf-8?q?owner=40example=2Ecom_=3Cowner=40example=2Ecom=3E?= <a@evil.test>",
                Ok("a@evil.test".into()),
            ),
            ("To: x@y.z", Err(SenderFault::Missing)),
            ("From: a@b.c\r\nFrom: owner@example.com", Err(SenderFault::Several)),
            ("From: a@b.c\r\nFrom : owner@example.com", Err(SenderFault::Several)),
            ("From: a@b.c, owner@example.com", Err(SenderFault::NotOneMailbox)),
            ("From: Us: a@b.c, owner@example.com;", Err(SenderFault::NotOneMailbox)),
            ("From: nobody at all", Err(SenderFault::NotOneMailbox)),
            ("From:", Err(SenderFault::NotOneMailbox)),
        ];
        for (header, expected) in cases {
            let sender = read(header).sender.map(|address| address.to_string());
            assert_eq!(sender, expected, "{header}");
        }
    }

    #[test]
    fn lines_hold_no_control_characters() {
        assert_eq!(one_line(" a\r\n\tb\u{0}c  d ", 100), "a b c d");
        assert_eq!(one_line("abcdef", 3), "abc");
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_not_but_never_panic(raw in prop::collection::vec(prop_oneof![
            Just(b"From: a@b.c\r\n".to_vec()), Just(b"Content-Type: multipart/mixed; boundary=x\r\n".to_vec()),
            Just(b"\r\n--x\r\n".to_vec()), Just(b"\r\n\r\n".to_vec()), Just(b"Content-Type: message/rfc822\r\n".to_vec()),
            Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20)], 0..20))
        {
            let raw = Bytes::from(raw.concat());
            let _ = (head(&raw), parse(&raw));
        }
    }
}
