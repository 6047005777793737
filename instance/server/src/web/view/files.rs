//! Files of a message.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_protocol::Attachment;

/// One file, as a card or a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCard {
    /// The name a person knows it by.
    pub name: String,
    /// Where it is, relative to the base; empty when it is not stored here.
    pub href: String,
    /// Kind and size: `PDF · 1.2 MB`.
    pub detail: String,
    /// Whether it is shown as a picture.
    pub picture: bool,
}

impl FileCard {
    pub(crate) fn of(file: &Attachment) -> Self {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let href = match (&file.asset_id, &file.filename) {
            (Some(asset), _) => format!("api/assets/{asset}/download"),
            // The dot of the extension is part of the stored name's grammar.
            (None, Some(name)) => format!(
                "api/media/{}",
                encoded(name).replace("%2E", ".").replace("%5F", "_").replace("%2D", "-")
            ),
            (None, None) => String::new(),
        };
        let name = file.display_name().to_owned();
        let picture = file.render_as.as_deref() != Some("file")
            && matches!(file.mime_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp")
            && !href.is_empty();
        let mut detail = kind(&name, &file.mime_type);
        if let Some(bytes) = file.size_bytes {
            detail = format!("{detail} · {}", size(bytes));
        }
        Self { name, href, detail, picture }
    }
}

fn kind(name: &str, mime: &str) -> String {
    let extension = name.rsplit_once('.').map(|(_, end)| end).filter(|end| end.len() <= 5);
    extension
        .or_else(|| mime.rsplit('/').next().filter(|text| !text.is_empty()))
        .unwrap_or("file")
        .to_uppercase()
}

/// Writes a size in decimal units, as file managers do.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_cards() {
        let stored = Attachment {
            filename: Some("0a1b_c-d.png".into()),
            original_name: Some("Über sicht.png".into()),
            mime_type: "image/png".into(),
            size_bytes: Some(1_234_567),
            ..Attachment::default()
        };
        assert_eq!(
            FileCard::of(&stored),
            FileCard {
                name: "Über sicht.png".into(),
                href: "api/media/0a1b_c-d.png".into(),
                detail: "PNG · 1.2 MB".into(),
                picture: true,
            }
        );
        let gone = Attachment { mime_type: "text/plain".into(), ..Attachment::default() };
        let card = FileCard::of(&gone);
        assert_eq!((card.href.as_str(), card.detail.as_str()), ("", "PLAIN"));
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 999, 1_000, 64_500, 3_000_000_000].map(size),
            ["0 B", "999 B", "1.0 kB", "64.5 kB", "3.0 GB"]
        );
    }
}
