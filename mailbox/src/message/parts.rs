//! Attachments, byte for byte.

use std::collections::{HashMap, HashSet};

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
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.mime_type, self.bytes.len())
    }
}

/// Returns all parts that are not the text, in order, with names safe to use as file names.
pub(super) fn attachments(message: &mail_parser::Message<'_>) -> Vec<Attachment> {
    let mut found: Vec<Attachment> = Vec::new();
    let mut names = Names::default();
    let unshown = message.html_bodies().filter(|part| body::has_unshown_html(part));
    for part in message.attachments().chain(unshown) {
        let bytes = exact_bytes(message, part);
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

/// Returns the content after the transfer encoding alone: no charset is touched.
fn exact_bytes(message: &mail_parser::Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    if let PartType::Binary(bytes) | PartType::InlineBinary(bytes) = &part.body {
        return bytes.to_vec();
    }
    let range = usize::try_from(part.offset_body).ok().zip(usize::try_from(part.offset_end).ok());
    let raw = range.and_then(|(start, end)| message.raw_message.get(start..end));
    let Some(raw) = raw else {
        return part.contents().to_vec();
    };
    let decoded = match part.encoding {
        Encoding::None => None,
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
    };
    decoded.unwrap_or_else(|| raw.to_vec())
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
    fn equal_names_are_numbered_and_many_cost_little() {
        let mut names = Names::default();
        let given = ["a.txt", "A.TXT", "a-2.txt", "a.txt", ".env", ".env"];
        let unused = given.map(|name| names.unused(name.to_owned()));
        assert_eq!(unused, ["a.txt", "A-2.TXT", "a-2-2.txt", "a-3.txt", ".env", ".env-2"]);
        let many: HashSet<String> = (0..20_000).map(|_| names.unused("same.bin".to_owned())).collect();
        assert_eq!(many.len(), 20_000);
    }
}
