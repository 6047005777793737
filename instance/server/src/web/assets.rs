//! Files that the browser loads: style, scripts, icons.
//!
//! They are named by one hash over all of them, so an address never changes its content.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// Modules that the first screen needs, fetched beside the main one.
pub const MODULES: &[&str] = &[
    "js/net/http.js",
    "js/net/fragment.js",
    "js/net/socket.js",
    "js/net/outbox.js",
    "js/state/storage.js",
    "js/state/page.js",
    "js/parts/session.js",
    "js/parts/composer.js",
];

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const CHECKED: &str = "public, no-cache";

/// In this order they are one style sheet.
const STYLES: &[&str] = &[
    "css/base.css",
    "css/shell.css",
    "css/list.css",
    "css/transcript.css",
    "css/code.css",
    "css/files.css",
    "css/composer.css",
];

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its bytes, as encoded.
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: &'static str,
    /// `gzip`, when the browser takes it and it is worth it.
    pub content_encoding: Option<&'static str>,
    /// A strong tag with its quotes.
    pub etag: String,
    /// How long it may be kept.
    pub cache_control: &'static str,
}

struct Stored {
    plain: Bytes,
    /// Made when a browser first asks for it: an idle server has no use for it.
    gzip: OnceLock<Option<Bytes>>,
    etag: String,
    content_type: &'static str,
}

struct Store {
    version: String,
    files: BTreeMap<String, Stored>,
}

static STORE: LazyLock<Store> = LazyLock::new(load);

/// Returns the hash over all files, the second part of their addresses.
#[must_use]
pub fn version() -> &'static str {
    &STORE.version
}

/// Returns the address of a file, relative to the base.
#[must_use]
pub fn path(name: &str) -> String {
    format!("assets/{}/{name}", version())
}

/// Finds the file of a path without leading slash: `assets/<version>/<name>`, `manifest.json`, `icon.svg`
/// or `favicon.ico`.
#[must_use]
pub fn find(path: &str, accept_encoding: &str) -> Option<Asset> {
    let (name, cache_control) = match path.strip_prefix("assets/") {
        Some(rest) => (rest.strip_prefix(version())?.strip_prefix('/')?, IMMUTABLE),
        None => match path {
            "manifest.json" | "icon.svg" => (path, CHECKED),
            "favicon.ico" => ("icon.svg", CHECKED),
            _ => return None,
        },
    };
    let stored = STORE.files.get(name)?;
    let gzip = if accepts_gzip(accept_encoding) { stored.gzip() } else { None };
    Some(Asset {
        bytes: gzip.unwrap_or(&stored.plain).clone(),
        content_type: stored.content_type,
        content_encoding: gzip.map(|_| "gzip"),
        etag: stored.etag.clone(),
        cache_control,
    })
}

/// Returns the ordinary manifest.
#[must_use]
pub fn manifest() -> serde_json::Value {
    let file = STORE.files.get("manifest.json");
    file.and_then(|file| serde_json::from_slice(&file.plain).ok()).unwrap_or_default()
}

/// All scripts in one text, for tests about what they use.
#[cfg(test)]
pub(crate) fn scripts() -> String {
    let scripts = STORE.files.iter().filter(|(name, _)| name.ends_with(".js"));
    scripts.map(|(_, file)| String::from_utf8_lossy(&file.plain).into_owned()).collect()
}

fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|item| {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(parameters.trim(), "q=0" | "q=0.0")
    })
}

/// Reads no file whose hash the compiler has written down: only what is asked for is ever in memory.
fn load() -> Store {
    let mut files: BTreeMap<String, (Bytes, [u8; 32])> = Files::iter()
        .filter(|name| is_served(name))
        .filter_map(|name| {
            let file = Files::get(&name)?;
            Some((name.into_owned(), (shared(file.data), file.metadata.sha256_hash())))
        })
        .collect();
    let mut style = Vec::new();
    for name in STYLES {
        style.extend_from_slice(&files.remove(*name).unwrap_or_default().0);
    }
    let hash = Sha256::digest(&style).into();
    files.insert("app.css".to_owned(), (style.into(), hash));
    let mut hasher = Sha256::new();
    for (name, (_, hash)) in &files {
        hasher.update(name.as_bytes());
        hasher.update(hash);
    }
    let version = hex::encode(&hasher.finalize()[..8]);
    let files = files.into_iter().map(|(name, (plain, hash))| {
        let stored = Stored {
            etag: format!("\"{}\"", hex::encode(&hash[..12])),
            content_type: content_type(&name),
            gzip: OnceLock::new(),
            plain,
        };
        (name, stored)
    });
    Store { version, files: files.collect() }
}

fn shared(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(embedded) => Bytes::from_static(embedded),
        Cow::Owned(read) => read.into(),
    }
}

/// Templates, texts and tests stand in the same folder.
fn is_served(name: &str) -> bool {
    matches!(name, "manifest.json" | "icon.svg")
        || name.starts_with("css/")
        || (name.starts_with("js/") && !name.starts_with("js/tests/"))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

impl Stored {
    /// Returns it compressed, if that is worth it.
    fn gzip(&self) -> Option<&Bytes> {
        let compress = || {
            let gzip = compressed(&self.plain)?;
            (gzip.len() + 128 < self.plain.len()).then(|| gzip.into())
        };
        self.gzip.get_or_init(compress).as_ref()
    }
}

fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_the_hash_of_everything() {
        let style = find(&path("app.css"), "").unwrap();
        assert_eq!(
            (style.content_type, style.content_encoding, style.cache_control),
            ("text/css; charset=utf-8", None, IMMUTABLE)
        );
        assert_eq!(find("assets/0000000000000000/app.css", ""), None);
        assert_eq!(find(&path("../Cargo.toml"), ""), None);
        assert_eq!(find(&path("tsconfig.json"), ""), None);
    }

    #[test]
    fn what_the_first_page_names_is_there() {
        for name in MODULES.iter().chain(&["js/main.js"]) {
            assert!(find(&path(name), "").is_some(), "{name}");
        }
        for name in ["manifest.json", "icon.svg", "favicon.ico"] {
            assert_eq!(find(name, "").unwrap().cache_control, CHECKED, "{name}");
        }
        for name in STYLES {
            assert!(Files::get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn compresses_for_those_who_ask() {
        let (plain, gzip) =
            (find(&path("app.css"), "br").unwrap(), find(&path("app.css"), "br, gzip;q=0.8").unwrap());
        assert_eq!(gzip.content_encoding, Some("gzip"));
        assert!(gzip.bytes.len() < plain.bytes.len());
        assert_eq!(find(&path("app.css"), "gzip;q=0").unwrap(), plain);
    }

    #[test]
    fn text_stands_out_from_its_ground_in_both_themes() {
        let file = Files::get("css/base.css").unwrap();
        let css = String::from_utf8(file.data.into_owned()).unwrap();
        let (light, dark) = css.split_once("prefers-color-scheme: dark").unwrap();
        let grounds = ["page", "side", "raised", "sunken", "bubble", "hover", "bad-ground"];
        let pairs = ["ink", "quiet"].iter().flat_map(|text| grounds.map(|ground| (*text, ground))).chain([
            ("accent", "page"),
            ("accent", "raised"),
            ("accent", "side"),
            ("on-fill", "fill"),
            ("bad", "bad-ground"),
            ("bad", "side"),
            ("good", "raised"),
            ("warn", "sunken"),
            ("code-key", "sunken"),
            ("code-text", "sunken"),
            ("code-number", "sunken"),
            ("code-name", "sunken"),
            ("code-type", "sunken"),
            ("code-note", "sunken"),
        ]);
        for (text, ground) in pairs {
            for (theme, css) in [("light", light), ("dark", dark)] {
                let (a, b) = (luminance(css, text), luminance(css, ground));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{text} on {ground}, {theme}: {ratio:.2}");
            }
        }
    }

    /// Relative luminance of a colour variable (WCAG 2.2).
    fn luminance(css: &str, name: &str) -> f64 {
        let (_, rest) = css.split_once(&format!("--{name}: #")).expect(name);
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&rest[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }
}
