//! `policy.json`: how much of a sender's word is believed, and how much mail is taken.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How senders are proved and what follows when they are not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// Whose word counts beside our own look at signatures.
    pub authority: Authority,
    /// The id by which the mail server of this machine signs its `Authentication-Results`; empty: its
    /// results are not believed.
    pub relay_authserv: String,
    /// What becomes of mail of senders that nobody permitted.
    pub first_contact: Fate,
    /// What becomes of mail whose domain says that it is not theirs.
    pub dmarc_fail: Fate,
    /// Whether addresses with something behind the name reach us (`rowan+trial1.r-…@`): answers and reports
    /// then find their way by address. Left out: where guests' addresses need it anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subaddresses: Option<bool>,
    /// Whether answers go out as plain text alone.
    pub plain_text: bool,
    /// Whether senders are not told when their work failed.
    pub silent: bool,
    /// Most bytes of files in one letter, of all together; larger ones are named. 0 is the usual 10 MiB.
    pub max_attachment_bytes: u64,
    /// Most mails an hour of one envelope sender; 0 is any number.
    pub per_sender_hour: u32,
    /// Most mails an hour of all senders together; 0 is any number.
    pub per_hour: u32,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Whose verdict on a sender counts beside our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// Cloudflare's mail servers, sealed by their keys.
    #[default]
    Cloudflare,
    /// Nobody's, and signatures are not looked at either: for a relay that has no way out to the name
    /// servers. All mail then waits for a person.
    None,
    /// Another edge, sealed by its keys.
    Sealed(Seal),
}

/// An edge that seals what it found (RFC 8617).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// Its name in the results.
    pub authserv: String,
    /// The domains whose keys may seal them.
    pub domains: Vec<String>,
}

/// What becomes of a mail that may not become work by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is held.
    #[default]
    Quarantine,
    /// A person is asked.
    Review,
    /// It is refused; its sender is not told.
    Reject,
}

impl Policy {
    /// Returns the edge whose sealed word counts.
    pub(crate) fn seal(&self) -> Option<Seal> {
        match &self.authority {
            Authority::None => None,
            Authority::Sealed(seal) => Some(seal.clone()),
            Authority::Cloudflare => Some(Seal {
                authserv: "mx.cloudflare.net".to_owned(),
                domains: vec!["email.cloudflare.net".to_owned(), "cloudflare-email.net".to_owned()],
            }),
        }
    }
}

impl Authority {
    /// Reads `cloudflare` or `none`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "cloudflare" => Some(Self::Cloudflare),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

impl Fate {
    /// Reads `quarantine`, `review` or `reject`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "quarantine" => Some(Self::Quarantine),
            "review" => Some(Self::Review),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }
}

impl Serialize for Authority {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Cloudflare => serializer.serialize_str("cloudflare"),
            Self::None => serializer.serialize_str("none"),
            Self::Sealed(seal) => seal.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Authority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A word that is not understood must not open what it was meant to close.
        match Value::deserialize(deserializer)? {
            Value::String(word) => Self::parse(&word)
                .ok_or_else(|| serde::de::Error::custom("authority is cloudflare, none or an object")),
            other => serde_json::from_value(other).map(Self::Sealed).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_strict_about_whom_to_believe() {
        let read = |text: &str| serde_json::from_str::<Policy>(text);
        assert_eq!(read("{}").unwrap(), Policy::default());
        assert_eq!(read("{}").unwrap().seal().unwrap().authserv, "mx.cloudflare.net");
        let none = read(r#"{"authority":"none","future":1}"#).unwrap();
        assert_eq!((none.seal(), &none.authority), (None, &Authority::None));
        assert_eq!(serde_json::to_value(&none).unwrap()["future"], 1);
        let own = r#"{"authority":{"authserv":"mx.own.test","domains":["own.test"]}}"#;
        assert_eq!(read(own).unwrap().seal().unwrap().domains, ["own.test"]);
        assert!(read(r#"{"authority":"nobody"}"#).is_err());
        assert!(read(r#"{"firstContact":"maybe"}"#).is_err());
    }
}
