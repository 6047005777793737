//! Which answers are packed on their way, and how.
//!
//! What an answer shows of a request and what it keeps secret must not be packed together: how long it gets
//! tells the one who wrote the request about the secret. So only what is the same for everybody is packed.

use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderName, SET_COOKIE, TRAILER,
};
use serde::Deserialize;

/// Shorter answers are not worth it.
const MIN_LEN: u64 = 1024;

/// What is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// What is the same for everybody.
    #[default]
    Public,
    /// Whatever is worth it.
    All,
    /// Nothing.
    Off,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// By falling worth.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// How a body is packed that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// How a body is packed, if it is.
///
/// # Errors
/// [`Unknown`] for anything but one known coding.
pub fn packed(headers: &HeaderMap) -> Result<Option<Coding>, Unknown> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(CONTENT_ENCODING) { Err(Unknown) } else { Ok(None) };
    };
    let name = value.to_str().map_err(|_| Unknown)?.trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(None),
        "x-gzip" => Ok(Some(Coding::Gzip)),
        name => Coding::ALL.into_iter().find(|coding| coding.as_str() == name).map(Some).ok_or(Unknown),
    }
}

/// The coding that a client likes best of those that are known here.
#[must_use]
pub fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut weights: [Option<u16>; 3] = [None; 3];
    let mut any = 0;
    let listed = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for one in listed {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        let name = name.trim();
        let weight = weight(parameters);
        match Coding::ALL.iter().position(|coding| name.eq_ignore_ascii_case(coding.as_str())) {
            Some(at) => weights[at] = Some(weight),
            None if name == "*" => any = weight,
            None => {}
        }
    }
    let weighted = Coding::ALL.into_iter().zip(weights.map(|weight| weight.unwrap_or(any)));
    // Of equals, the first.
    let best = weighted.rev().max_by_key(|(_, weight)| *weight)?;
    (best.1 > 0).then_some(best.0)
}

/// Thousandths, as `0.75` has 750 of them; what is none is nothing.
fn weight(parameters: &str) -> u16 {
    let Some(text) = parameters.split(';').find_map(|one| one.trim().strip_prefix("q=")) else { return 1000 };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    match (whole, part.parse()) {
        ("0", Ok(thousandths)) => thousandths,
        ("1", _) => 1000,
        _ => 0,
    }
}

/// Tells whether an answer may be packed, and is worth it.
///
/// `personal` says that the request came with something that tells who asks.
#[must_use]
pub fn is_wanted(compression: Compression, personal: bool, status: StatusCode, headers: &HeaderMap) -> bool {
    if compression == Compression::Off
        || status != StatusCode::OK
        || [CONTENT_ENCODING, CONTENT_RANGE, TRAILER].iter().any(|name| headers.contains_key(name))
        || lists(headers, &CACHE_CONTROL, "no-transform")
    {
        return false;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Some(kind) = Kind::of(kind).filter(|_| length.is_none_or(|length| length >= MIN_LEN)) else {
        return false;
    };
    let says = |word| lists(headers, &CACHE_CONTROL, word);
    let is_public = !headers.contains_key(SET_COOKIE)
        && !says("private")
        && !says("no-store")
        && (!personal || kind == Kind::Asset || says("public"));
    compression == Compression::All || is_public
}

/// What becomes much shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of a program.
    Asset,
    /// Made for whoever asks.
    Document,
}

impl Kind {
    fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (class, name) = essence.split_once('/')?;
        match (class, name) {
            ("text", "event-stream") => None,
            ("text", "css" | "javascript" | "ecmascript") | ("font", "ttf" | "otf") => Some(Self::Asset),
            (
                "application",
                "javascript" | "x-javascript" | "wasm" | "manifest+json" | "vnd.ms-fontobject",
            ) => Some(Self::Asset),
            ("image", "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon") => Some(Self::Asset),
            ("text", _) | ("application", "json" | "xml" | "x-ndjson") => Some(Self::Document),
            (_, name) if name.ends_with("+json") || name.ends_with("+xml") => Some(Self::Document),
            _ => None,
        }
    }
}

/// Tells whether a list of a header has a word.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| listed.split('=').next().is_some_and(|listed| listed.trim().eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_both_know_is_taken() {
        for (accept, coding) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0.1, zstd;q=0", Some(Coding::Brotli)),
            ("gzip;q=0", None),
            ("gzip;q=nan, br;q=-1", None),
            ("gzip;q=0.0001", None),
            ("identity", None),
            ("", None),
        ] {
            assert_eq!(accepted(&map(&[("accept-encoding", accept)])), coding, "{accept}");
        }
    }

    #[test]
    fn secrets_are_packed_when_asked_for_alone() {
        use Compression::{All, Off, Public};
        let asset = ("content-type", "text/javascript; charset=utf-8");
        let page = ("content-type", "text/html");
        let wanted = |of, personal, headers: &[(&'static str, &str)]| {
            is_wanted(of, personal, StatusCode::OK, &map(headers))
        };
        for (personal, headers, public, all) in [
            (true, &[asset][..], true, true),
            (true, &[page], false, true),
            (false, &[page], true, true),
            (true, &[page, ("cache-control", "max-age=5, Public")], true, true),
            (false, &[page, ("cache-control", "private, no-cache")], false, true),
            (false, &[asset, ("cache-control", "no-store")], false, true),
            (false, &[asset, ("cache-control", "no-transform")], false, false),
            (false, &[page, ("set-cookie", "a=1")], false, true),
            (false, &[asset, ("content-length", "1023")], false, false),
            (false, &[asset, ("content-length", "1024")], true, true),
            (false, &[asset, ("content-encoding", "br")], false, false),
            (false, &[asset, ("content-range", "bytes 0-1/2")], false, false),
            (false, &[("content-type", "text/event-stream")], false, false),
            (false, &[("content-type", "image/png")], false, false),
            (false, &[("content-type", "application/problem+json")], true, true),
            (false, &[], false, false),
        ] {
            assert_eq!(wanted(Public, personal, headers), public, "{headers:?}");
            assert_eq!(wanted(All, personal, headers), all, "{headers:?}");
            assert!(!wanted(Off, personal, headers));
        }
        assert!(!is_wanted(All, false, StatusCode::PARTIAL_CONTENT, &map(&[asset])));
    }

    #[test]
    fn what_is_packed_in_an_unknown_way_is_known_to_be() {
        for (coding, known) in [
            ("gzip", Ok(Some(Coding::Gzip))),
            ("X-Gzip", Ok(Some(Coding::Gzip))),
            ("identity", Ok(None)),
            ("gzip, br", Err(Unknown)),
            ("deflate", Err(Unknown)),
        ] {
            assert_eq!(packed(&map(&[("content-encoding", coding)])), known);
        }
        assert_eq!(packed(&map(&[])), Ok(None));
        assert_eq!(packed(&map(&[("content-encoding", "gzip"), ("content-encoding", "br")])), Err(Unknown));
    }

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }
}
