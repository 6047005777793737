//! Telling mail written by people from mail written by programs, so that we never answer a machine.

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::scan::Field;

/// A mail that quotes more ids than this has been going back and forth between machines.
const MAX_REFERENCES: usize = 50;

/// Hops between installations of RemoteLab before a mail counts as a loop.
const MAX_HOPS: u32 = 3;

/// The header by which we know our own answers.
pub(crate) const LOOP_HEADER: &str = "X-RemoteLab-Loop";

/// What kind of sender a mail shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Written by a person, as far as its headers tell.
    Personal,
    /// Out of office and other automatic answers (RFC 3834).
    AutoReply,
    /// A delivery report (RFC 3464).
    Dsn,
    /// A mailing list or mass mail.
    Bulk,
    /// Our own mail come back.
    Loop,
}

impl Class {
    /// Returns the word used in the store and in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::AutoReply => "auto_reply",
            Self::Dsn => "dsn",
            Self::Bulk => "bulk",
            Self::Loop => "loop",
        }
    }
}

/// What classification looks at.
pub(crate) struct Evidence<'a> {
    pub(crate) fields: &'a [Field],
    /// Envelope sender; `Some("")` is the null path of reports, `None` unknown.
    pub(crate) mail_from: Option<&'a str>,
    pub(crate) sender: Option<&'a Address>,
    pub(crate) subject: &'a str,
    pub(crate) references: usize,
    /// Whether the sender is one of our own addresses.
    pub(crate) from_ourselves: bool,
}

/// Names the class of a mail. The first rule that matches wins, the strictest first.
pub(crate) fn classify(evidence: &Evidence<'_>) -> Class {
    let value = |name: &str| {
        let field = evidence.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map(|field| field.value.trim().to_ascii_lowercase())
    };
    let hops = value(LOOP_HEADER).and_then(|text| text.rsplit('/').next()?.trim().parse().ok());
    if evidence.from_ourselves || hops.is_some_and(|hops: u32| hops > MAX_HOPS) {
        return Class::Loop;
    }
    let content_type = value("content-type").unwrap_or_default();
    let role = evidence.sender.map(Address::local_key).unwrap_or_default();
    if evidence.mail_from.is_some_and(|from| matches!(from.trim(), "" | "<>"))
        || content_type.starts_with("multipart/report")
        // A person may write from postmaster@, as the one of a small firm does.
        || role == "mailer-daemon"
    {
        return Class::Dsn;
    }
    if value("auto-submitted").is_some_and(|text| !text.is_empty() && text != "no")
        || ["x-autoreply", "x-autorespond"].iter().any(|name| value(name).is_some())
        || evidence.references > MAX_REFERENCES
        || is_out_of_office(evidence.subject)
    {
        return Class::AutoReply;
    }
    let precedence = value("precedence").unwrap_or_default();
    if ["list-id", "list-unsubscribe", "feedback-id"].iter().any(|name| value(name).is_some())
        || matches!(precedence.as_str(), "bulk" | "list" | "junk")
    {
        return Class::Bulk;
    }
    Class::Personal
}

fn is_out_of_office(subject: &str) -> bool {
    const FORMS: [&str; 14] = [
        "out of office",
        "out of the office",
        "automatic reply",
        "auto-reply:",
        "autoreply:",
        "auto reply:",
        "abwesenheitsnotiz",
        "automatische antwort",
        "absence du bureau",
        "réponse automatique",
        "respuesta automática",
        "risposta automatica",
        "自动回复",
        "自動返信",
    ];
    let subject = subject.trim().to_lowercase();
    FORMS.iter().any(|form| subject.starts_with(form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::fields;

    fn class(header: &str, mail_from: Option<&str>) -> Class {
        let fields = fields(header.as_bytes());
        let value =
            |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.value.clone());
        let sender = value("From").and_then(|text| Address::parse(&text).ok());
        classify(&Evidence {
            fields: &fields,
            mail_from,
            sender: sender.as_ref(),
            subject: &value("Subject").unwrap_or_default(),
            references: 0,
            from_ourselves: false,
        })
    }

    #[test]
    fn knows_machines_by_their_headers() {
        let cases = [
            ("From: a@b.c\nSubject: Numbers", Class::Personal),
            ("From: a@b.c\nAuto-Submitted: no", Class::Personal),
            ("From: a@b.c\nAuto-Submitted: auto-replied", Class::AutoReply),
            ("From: a@b.c\nX-Autoreply: yes", Class::AutoReply),
            ("From: a@b.c\nSubject: Automatische Antwort: Zahlen", Class::AutoReply),
            ("From: MAILER-DAEMON@b.c", Class::Dsn),
            ("From: postmaster@b.c\nSubject: Your invoice", Class::Personal),
            ("From: a@b.c\nContent-Type: multipart/report; report-type=delivery-status", Class::Dsn),
            ("From: a@b.c\nList-Id: <list.b.c>", Class::Bulk),
            ("From: a@b.c\nPrecedence: bulk", Class::Bulk),
            ("From: a@b.c\nX-RemoteLab-Loop: trial1/4", Class::Loop),
            ("From: a@b.c\nX-RemoteLab-Loop: trial1/1", Class::Personal),
        ];
        for (header, expected) in cases {
            assert_eq!(class(header, Some("a@b.c")), expected, "{header}");
        }
        assert_eq!(class("From: a@b.c", Some("")), Class::Dsn);
        assert_eq!(class("From: postmaster@b.c", Some("<>")), Class::Dsn);
        assert_eq!(class("From: a@b.c", None), Class::Personal);
    }
}
