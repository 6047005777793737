//! Media types by the names of files.

/// Those that are shown or read in sessions; everything else is plain bytes.
const KNOWN: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/x-m4v"),
    ("md", "text/markdown"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("zip", "application/zip"),
];

/// Returns the media type that a file's name speaks of.
#[must_use]
pub fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let known = |extension: String| KNOWN.iter().find(|(known, _)| *known == extension);
    extension.and_then(known).map_or("application/octet-stream", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::media_type;

    #[test]
    fn names_speak_of_their_type() {
        for (name, kind) in [
            ("chart.PNG", "image/png"),
            ("a.tar.zip", "application/zip"),
            ("README", "application/octet-stream"),
            ("x.rs", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), kind);
        }
    }
}
