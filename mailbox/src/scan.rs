//! What is read off a message's bytes before any parser sees them: the few headers that tell one
//! mail from another, and the fingerprint made of them.
//!
//! Works on a stream, never fails, and keeps at most [`MAX_HEADER`] bytes in memory.

use sha2::{Digest, Sha256};

/// Bytes of header kept; anything beyond counts as body.
pub(crate) const MAX_HEADER: usize = 256 * 1024;

/// Takes the raw bytes of one message in pieces.
pub(crate) struct Scanner {
    header: Vec<u8>,
    in_body: bool,
    body: Sha256,
    whole: Sha256,
    size: u64,
}

/// What a message is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The Message-ID without angle brackets; made up from the content when the mail has none.
    pub(crate) message_id: String,
    /// SHA-256 over From, Date, Subject, Message-ID and the body, in hex. Trace headers are left
    /// out: a second delivery of the same mail differs in them.
    pub(crate) fingerprint: String,
    /// SHA-256 of all bytes, in hex.
    pub(crate) sha256: String,
    /// Length in bytes.
    pub(crate) size: u64,
    /// The first `To` value, for mail that comes without an envelope.
    pub(crate) to: String,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { header: Vec::new(), in_body: false, body: Sha256::new(), whole: Sha256::new(), size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.size += bytes.len() as u64;
        if self.in_body {
            self.body.update(bytes);
            return;
        }
        // The end mark may straddle two pieces.
        let seen = self.header.len().saturating_sub(3);
        self.header.extend_from_slice(bytes);
        let end = header_end(&self.header, seen).filter(|&end| end <= MAX_HEADER);
        if let Some(end) = end.or((self.header.len() > MAX_HEADER).then_some(MAX_HEADER)) {
            self.body.update(&self.header[end..]);
            self.header.truncate(end);
            self.in_body = true;
        }
    }

    /// Returns SHA-256 over all bytes so far, in hex.
    pub(crate) fn digest(&self) -> String {
        hex::encode(self.whole.clone().finalize())
    }

    pub(crate) fn finish(self) -> Scan {
        let fields = fields(&self.header);
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value.trim().to_owned()).unwrap_or_default()
        };
        let mut fingerprint = Sha256::new();
        for name in ["from", "date", "subject", "message-id"] {
            fingerprint.update(value(name).as_bytes());
            fingerprint.update([0]);
        }
        fingerprint.update(self.body.finalize());
        let fingerprint = hex::encode(fingerprint.finalize());
        let message_id = message_ids(&value("message-id"))
            .into_iter()
            .next()
            .unwrap_or_else(|| format!("{}@instance.invalid", &fingerprint[..16]));
        Scan {
            message_id,
            fingerprint,
            sha256: hex::encode(self.whole.finalize()),
            size: self.size,
            to: value("to"),
        }
    }
}

/// One header field, unfolded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Splits a header block into its fields, folded lines joined (RFC 5322 §2.2.3). A line that is no
/// field is dropped.
pub(crate) fn fields(header: &[u8]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in header.split(|&b| b == b'\n') {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.starts_with([' ', '\t']) {
            if let Some(field) = fields.last_mut() {
                field.value.push(' ');
                field.value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push(Field { name: name.trim().to_owned(), value: value.trim().to_owned() });
        }
    }
    fields
}

/// Returns the header block of a whole message.
pub(crate) fn header_block(raw: &[u8]) -> &[u8] {
    let end = header_end(raw, 0).unwrap_or(raw.len());
    &raw[..end.min(MAX_HEADER)]
}

/// More ids of one header are not kept: the first, which names the thread, and the latest are.
const MAX_IDS: usize = 200;

/// Reads the ids of a Message-ID, In-Reply-To or References value, without angle brackets.
pub(crate) fn message_ids(value: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find('<') {
        let Some(len) = rest[start + 1..].find('>') else {
            break;
        };
        let id = &rest[start + 1..start + 1 + len];
        rest = &rest[start + len + 2..];
        let is_id = !id.is_empty()
            && id.len() <= 900
            && !id.chars().any(|c| c.is_whitespace() || c.is_control() || c == '<');
        if is_id && !ids.iter().any(|known| known == id) {
            if ids.len() == MAX_IDS {
                ids.remove(1);
            }
            ids.push(id.to_owned());
        }
    }
    ids
}

/// Finds the offset behind the blank line that ends the header, looking from `from` on.
fn header_end(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|at| {
        let rest = &bytes[at..];
        if rest.starts_with(b"\r\n\r\n") {
            Some(at + 4)
        } else if rest.starts_with(b"\n\n") {
            Some(at + 2)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(raw: &[u8]) -> Scan {
        let mut scanner = Scanner::new();
        scanner.update(raw);
        scanner.finish()
    }

    const MAIL: &str = "Received: by a\r\nFrom: owner@example.com\r\nSubject: Numbers\r\n for May\r\n\
        Date: Tue, 10 Mar 2026 02:10:00 +0000\r\nMessage-ID: <plain-1@example.com>\r\n\r\nHello\r\n";

    #[test]
    fn a_second_delivery_over_another_path_is_the_same_mail() {
        let again = MAIL.replace("Received: by a", "Received: by b\r\nReceived: by a");
        let (first, second) = (scan(MAIL.as_bytes()), scan(again.as_bytes()));
        assert_eq!(first.message_id, "plain-1@example.com");
        assert_eq!(first.fingerprint, second.fingerprint);
        assert_ne!(first.sha256, second.sha256);
    }

    #[test]
    fn the_same_id_over_another_text_is_another_mail() {
        let other = MAIL.replace("Hello", "Goodbye");
        assert_ne!(scan(MAIL.as_bytes()).fingerprint, scan(other.as_bytes()).fingerprint);
    }

    #[test]
    fn a_mail_without_id_gets_one_from_its_content() {
        let bare = scan(b"From: a@b.c\n\nHi");
        assert!(bare.message_id.ends_with("@instance.invalid"));
        assert_eq!(bare.message_id, scan(b"From: a@b.c\n\nHi").message_id);
        assert_ne!(bare.message_id, scan(b"From: a@b.c\n\nHo").message_id);
    }

    #[test]
    fn reads_ids_out_of_sloppy_lists() {
        assert_eq!(message_ids("<a@b> (c) <d@e><a@b> junk <f g> <"), ["a@b", "d@e"]);
        let many: String = (0..50_000).map(|n| format!("<{n}@x>")).collect();
        let ids = message_ids(&many);
        assert_eq!((ids.len(), ids[0].as_str(), ids[199].as_str()), (200, "0@x", "49999@x"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(raw in prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'<'), Just(b'>'), any::<u8>()], 0..200),
            cut in 0usize..200)
        {
            let cut = cut.min(raw.len());
            let mut scanner = Scanner::new();
            scanner.update(&raw[..cut]);
            scanner.update(&raw[cut..]);
            prop_assert_eq!(scanner.finish(), scan(&raw));
        }
    }
}
