//! What a file is, told by its first bytes: names and declared types are hints and never more.

/// How many bytes of a file are looked at.
pub(crate) const HEAD: usize = 4_096;

const UNKNOWN: &str = "application/octet-stream";

/// Bytes that begin files of a type.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
];

/// Documents that are archives inside, by extension.
const IN_ZIP: &[(&str, &str)] = &[
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("epub", "application/epub+zip"),
];

/// Older office documents, by extension.
const IN_COMPOUND_FILE: &[(&str, &str)] = &[
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
];

/// Kinds of text, by extension.
const IN_TEXT: &[(&str, &str)] = &[
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("svg", "image/svg+xml"),
    ("xml", "application/xml"),
];

/// Tells the media type of a file that begins with `head`. `declared` is what its sender says.
pub(crate) fn media_type(head: &[u8], name: &str, declared: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    let among = |kinds: &[(&str, &'static str)]| {
        kinds.iter().find(|(known, _)| *known == extension).map(|(_, media)| *media)
    };
    if let Some((_, media)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return media;
    }
    let part = |range: std::ops::Range<usize>| head.get(range).unwrap_or_default();
    if part(4..8) == b"ftyp" {
        return brand(part(8..12));
    }
    match (part(0..4), part(8..12)) {
        (b"RIFF", b"WEBP") => return "image/webp",
        (b"RIFF", b"WAVE") => return "audio/wav",
        (b"OggS", _) if declared.starts_with("video/") || extension == "ogv" => return "video/ogg",
        (b"OggS", _) => return "audio/ogg",
        (b"PK\x03\x04" | b"PK\x05\x06", _) => return among(IN_ZIP).unwrap_or("application/zip"),
        (b"\xd0\xcf\x11\xe0", _) => return among(IN_COMPOUND_FILE).unwrap_or(UNKNOWN),
        _ => {}
    }
    match as_text(head) {
        Some(text) => markup(text).or_else(|| among(IN_TEXT)).unwrap_or("text/plain"),
        None => UNKNOWN,
    }
}

/// Returns the type as which a file may be shown or played in a page of this origin; everything else is
/// plain bytes for saving.
pub(crate) fn viewable(media_type: &str) -> Option<&'static str> {
    const VIEWABLE: &[&str] = &[
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "video/mp4",
        "video/ogg",
        "video/quicktime",
        "video/webm",
        "video/x-m4v",
    ];
    VIEWABLE.iter().find(|known| **known == media_type).copied()
}

/// Reads the brand of an ISO media file (ISO/IEC 14496-12, 4.3).
fn brand(brand: &[u8]) -> &'static str {
    match brand {
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " => "audio/mp4",
        b"M4V " => "video/x-m4v",
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"mif1" => "image/heic",
        _ => "video/mp4",
    }
}

/// Returns the bytes as text; the last character may be cut.
fn as_text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    (!text.contains(is_odd)).then_some(text)
}

/// Recognises what a browser would run or draw.
fn markup(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let html = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<style", "<title"];
    if html.into_iter().any(begins) {
        return Some("text/html");
    }
    let is_xml = ["<svg", "<?xml", "<!--", "<!doctype svg"].into_iter().any(begins);
    if is_xml && text.contains("<svg") {
        return Some("image/svg+xml");
    }
    begins("<?xml").then_some("application/xml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_decide_and_names_are_hints() {
        for (head, name, declared, expected) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], "a.txt", "text/plain", "image/png"),
            (b"<!DOCTYPE HTML><p>", "a.png", "image/png", "text/html"),
            (b"\xef\xbb\xbf <SCRIPT>", "a.jpg", "image/jpeg", "text/html"),
            (b"<?xml version='1.0'?><svg xmlns=''/>", "a.png", "image/png", "image/svg+xml"),
            (b"plain words", "a.png", "image/png", "text/plain"),
            (b"# Title", "Report.MD", "", "text/markdown"),
            (b"a,b\n", "a.csv", "application/x-evil", "text/csv"),
            (
                b"PK\x03\x04....",
                "a.docx",
                "",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            (b"PK\x03\x04....", "a.png", "image/png", "application/zip"),
            (b"\0\0\0\x20ftypqt  ", "a", "", "video/quicktime"),
            (b"\0\0\0\x20ftypisom", "a.html", "text/html", "video/mp4"),
            (b"OggS....", "a.ogv", "", "video/ogg"),
            (b"RIFF....WEBP", "", "", "image/webp"),
            (b"\x00\x01\x02", "a.html", "text/html", "application/octet-stream"),
            (b"", "", "", "text/plain"),
        ] {
            assert_eq!(media_type(head, name, declared), expected, "{}", String::from_utf8_lossy(head));
        }
        let cut = &"长".as_bytes()[..2];
        assert_eq!(media_type(cut, "", ""), "text/plain");
    }

    proptest! {
        /// Whatever a sender says, only real pictures, sounds and films are shown in a page.
        #[test]
        fn nothing_active_is_viewable(text in "[ -~\n]{0,200}", name in "[a-z]{0,8}\\.(png|svg|html|mp4)", declared: String) {
            let media = media_type(text.as_bytes(), &name, &declared);
            let has_signature = SIGNATURES.iter().any(|(bytes, _)| text.as_bytes().starts_with(bytes))
                || text.get(4..8) == Some("ftyp") || text.starts_with("RIFF") || text.starts_with("OggS");
            prop_assert!(has_signature || viewable(media).is_none());
        }
    }
}
