//! Attachments, byte for byte.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use mail_parser::{Encoding, MessagePart, MimeHeaders, PartType};

use super::{body, one_line};

/// Inline pictures below this are ornaments of the text (bytes).
const ORNAMENT: usize = 2 * 1024;

/// Longest name kept, in characters.
const MAX_NAME: usize = 120;

/// One file that came with a mail.
#[derive(Clone, PartialEq)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) bytes: Bytes,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.mime_type, self.bytes.len())
    }
}

/// Returns all parts that are not the text, in order, with names safe to use as file names.
pub(super) fn attachments(mut message: mail_parser::Message<'_>, raw: &Bytes) -> Vec<Attachment> {
    let is_unshown = |id: &&u32| message.part(**id).is_some_and(body::has_unshown_html);
    let unshown = message.html_body.iter().filter(is_unshown);
    let ids: Vec<u32> = message.attachments.iter().chain(unshown).copied().collect();
    let mut found: Vec<Attachment> = Vec::new();
    let mut names = Names::default();
    for id in ids {
        let part = usize::try_from(id).ok().and_then(|id| message.parts.get_mut(id));
        let Some(part) = part else { continue };
        let bytes = exact_bytes(part, raw);
        let mime_type = mime_type(part);
        let is_ornament = part.content_id().is_some()
            && mime_type.starts_with("image/")
            && bytes.len() < ORNAMENT
            && !part.content_disposition().is_some_and(|kind| kind.is_attachment());
        if is_ornament && part.attachment_name().is_none() {
            continue;
        }
        let name = names.unused(file_name(part, &mime_type, found.len() + 1));
        found.push(Attachment { name, mime_type, bytes });
    }
    found
}

/// Takes the content after the transfer encoding alone: no charset is touched.
fn exact_bytes(part: &mut MessagePart<'_>, raw: &Bytes) -> Bytes {
    if let PartType::Binary(bytes) | PartType::InlineBinary(bytes) = &mut part.body {
        return match std::mem::take(bytes) {
            Cow::Owned(decoded) => decoded.into(),
            Cow::Borrowed(plain) if is_within(plain, raw) => raw.slice_ref(plain),
            Cow::Borrowed(plain) => Bytes::copy_from_slice(plain),
        };
    }
    let range = usize::try_from(part.offset_body).ok().zip(usize::try_from(part.offset_end).ok());
    let Some(range) = range.filter(|&(start, end)| raw.get(start..end).is_some()) else {
        return Bytes::copy_from_slice(part.contents());
    };
    let raw = raw.slice(range.0..range.1);
    let decoded = match part.encoding {
        Encoding::None => None,
        Encoding::Base64 => base64_decode(&raw),
        Encoding::QuotedPrintable => quoted_printable_decode(&raw),
    };
    decoded.map_or(raw, Bytes::from)
}

/// Tells whether a piece lies in the raw mail; what a decoder made does not.
fn is_within(piece: &[u8], raw: &Bytes) -> bool {
    let (piece, raw) = (piece.as_ptr_range(), raw.as_ptr_range());
    raw.start <= piece.start && piece.end <= raw.end
}

fn mime_type(part: &MessagePart<'_>) -> String {
    if matches!(part.body, PartType::Message(_)) {
        return "message/rfc822".to_owned();
    }
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let declared = part.content_type().and_then(|kind| {
        let subtype = kind.subtype()?;
        (is_token(kind.ctype()) && is_token(subtype)).then(|| format!("{}/{subtype}", kind.ctype()))
    });
    declared.map_or_else(|| "application/octet-stream".to_owned(), |kind| kind.to_ascii_lowercase())
}

fn file_name(part: &MessagePart<'_>, mime_type: &str, number: usize) -> String {
    let given = match &part.body {
        PartType::Message(inner) => part
            .attachment_name()
            .map(str::to_owned)
            .or_else(|| inner.subject().map(|subject| format!("{subject}.eml"))),
        _ => part.attachment_name().map(str::to_owned),
    };
    let given = one_line(&given.unwrap_or_default(), MAX_NAME).replace(['/', '\\', '"'], "_");
    let given = given.trim_matches(['.', ' ']);
    if given.is_empty() {
        let kind = if mime_type.starts_with("image/") { "image" } else { "attachment" };
        return format!("{kind}-{number}.{}", extension(mime_type));
    }
    given.to_owned()
}

fn extension(mime_type: &str) -> &'static str {
    match mime_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/svg+xml" => "svg",
        "image/tiff" => "tif",
        "image/heic" => "heic",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "text/calendar" => "ics",
        "text/vcard" | "text/x-vcard" => "vcf",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/plain" => "txt",
        "message/rfc822" => "eml",
        _ => "bin",
    }
}

/// Names that attachments have already. Anybody can send a mail with thousands of parts of one name.
#[derive(Default)]
struct Names {
    /// In lower case.
    taken: HashSet<String>,
    /// The last number given to a name.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// Returns the name, numbered when another attachment has it.
    fn unused(&mut self, name: String) -> String {
        if self.taken.insert(name.to_lowercase()) {
            return name;
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name.as_str(), String::new()),
        };
        let number = self.numbers.entry(name.to_lowercase()).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{stem}-{number}{extension}");
            if self.taken.insert(numbered.to_lowercase()) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_encoded_stays_a_part_of_the_raw_mail() {
        let raw = Bytes::from_static(
            b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b\r\n\
              Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: binary\r\n\r\nplain\r\n--b\r\n\
              Content-Type: application/pdf; name=b.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nZW5jb2RlZA==\r\n--b--\r\n",
        );
        let files = crate::message::parse(&raw).unwrap().attachments;
        let told: Vec<_> = files.iter().map(|file| (&file.bytes[..], is_within(&file.bytes, &raw))).collect();
        assert_eq!(told, [(&b"plain"[..], true), (&b"encoded"[..], false)]);
    }

    #[test]
    fn equal_names_are_numbered_and_many_cost_little() {
        let mut names = Names::default();
        let given = ["a.txt", "A.TXT", "a-2.txt", "a.txt", ".env", ".env"];
        let unused = given.map(|name| names.unused(name.to_owned()));
        assert_eq!(unused, ["a.txt", "A-2.TXT", "a-2-2.txt", "a-3.txt", ".env", ".env-2"]);
        let many: HashSet<String> = (0..20_000).map(|_| names.unused("same.bin".to_owned())).collect();
        assert_eq!(many.len(), 20_000);
    }
}
