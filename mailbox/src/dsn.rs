//! Reports about letters of ours (RFC 3464): which recipients they are about, and what became of them.

use mail_parser::{MessageParser, MimeHeaders, PartType};

use crate::address::Address;
use crate::scan;

/// Recipients that one report is believed about.
const MAX_RECIPIENTS: usize = 50;

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The Message-ID of the letter, without brackets, when the report tells it.
    pub(crate) original_id: Option<String>,
    pub(crate) recipients: Vec<Recipient>,
}

/// What became of a letter for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) address: Option<Address>,
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded`.
    pub(crate) action: String,
    /// As in RFC 3463: `5.1.1`.
    pub(crate) status: String,
    /// What the other side said, for people.
    pub(crate) diagnostic: String,
}

impl Recipient {
    /// Tells whether nothing will change it.
    pub(crate) fn is_final(&self) -> bool {
        self.action == "failed" && self.status.starts_with('5')
    }
}

/// Reads a report; `None` when the mail is none.
pub(crate) fn parse(raw: &[u8]) -> Option<Report> {
    let mail = MessageParser::default().parse(raw)?;
    let mut report = Report::default();
    let mut is_report = false;
    for part in &mail.parts {
        let Some(kind) = part.content_type() else { continue };
        match (kind.c_type.to_ascii_lowercase().as_str(), kind.c_subtype.as_deref().unwrap_or_default()) {
            ("message", kind) if kind.eq_ignore_ascii_case("delivery-status") => {
                is_report = true;
                report.recipients.extend(recipients(part.contents()));
            }
            ("text", kind) if kind.eq_ignore_ascii_case("rfc822-headers") => {
                report.original_id = report.original_id.or_else(|| message_id(part.contents()));
            }
            ("message", kind) if kind.eq_ignore_ascii_case("rfc822") => {
                let id = match &part.body {
                    PartType::Message(inner) => message_id(inner.raw_message()),
                    _ => message_id(part.contents()),
                };
                report.original_id = report.original_id.or(id);
            }
            _ => {}
        }
    }
    report.recipients.truncate(MAX_RECIPIENTS);
    is_report.then_some(report)
}

/// Reads the groups of fields; the first is about the message, each other about a recipient.
fn recipients(text: &[u8]) -> Vec<Recipient> {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    let groups = text.split("\n\n").map(|group| scan::fields(group.trim_start().as_bytes()));
    let of_group = |fields: Vec<scan::Field>| {
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value.trim().to_owned())
        };
        // `rfc822; ada@example.net`
        let address = value("Original-Recipient").or_else(|| value("Final-Recipient"))?;
        let address = address.split_once(';').map_or(address.as_str(), |(_, address)| address);
        let status = value("Status").unwrap_or_default();
        Some(Recipient {
            address: Address::parse(address).ok(),
            action: value("Action").unwrap_or_default().to_ascii_lowercase(),
            status: status.split_whitespace().next().unwrap_or_default().to_owned(),
            diagnostic: value("Diagnostic-Code").unwrap_or_default().chars().take(300).collect(),
        })
    };
    groups.filter_map(of_group).collect()
}

fn message_id(header: &[u8]) -> Option<String> {
    let fields = scan::fields(scan::header_block(header));
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case("message-id"))?;
    scan::message_ids(&field.value).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DSN: &str = "From: MAILER-DAEMON@mx.test\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\
        MIME-Version: 1.0\r\n\r\n--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; Ada@example.net\r\nAction: failed\r\n\
        Status: 5.1.1 (no)\r\nDiagnostic-Code: smtp; 550 nobody\r\n there\r\n\r\nFinal-Recipient: rfc822; eve@example.net\r\n\
        Action: delayed\r\nStatus: 4.4.1\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
        Subject: Re: x\r\nMessage-ID: <out-1@example.com>\r\n\r\n--b--\r\n";

    #[test]
    fn reads_each_recipient_and_the_letter() {
        let report = parse(DSN.as_bytes()).unwrap();
        assert_eq!(report.original_id.as_deref(), Some("out-1@example.com"));
        let [ada, eve] = report.recipients.as_slice() else { panic!("{report:?}") };
        assert_eq!(ada.address.as_ref().unwrap().key(), "ada@example.net");
        assert_eq!((ada.status.as_str(), ada.diagnostic.as_str()), ("5.1.1", "smtp; 550 nobody there"));
        assert!(ada.is_final() && !eve.is_final());
        let whole = DSN.replace("text/rfc822-headers", "message/rfc822");
        assert_eq!(parse(whole.as_bytes()).unwrap().original_id.as_deref(), Some("out-1@example.com"));
        assert_eq!(parse(b"From: a@b.c\r\n\r\nSorry, no delivery-status"), None);
        let corpus = include_bytes!("../tests/corpus/09-dsn.eml");
        assert!(parse(corpus).is_some());
    }

    proptest! {
        #[test]
        fn takes_any_bytes(cut in 0usize..1200, junk in prop::collection::vec(any::<u8>(), 0..50)) {
            let cut = cut.min(DSN.len());
            let _ = parse(&[&DSN.as_bytes()[..cut], &junk, &DSN.as_bytes()[cut..]].concat());
        }
    }
}
