//! Which part of a file a request asks for (RFC 9110 §14).

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

/// What to send of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first to the last byte, both included.
    Part { first: u64, last: u64 },
    /// A part that is not there.
    Nothing,
}

/// Reads a request for a file of a length with a strong tag. Several ranges at once are answered with the
/// whole, as is what cannot be read.
pub(super) fn wanted(headers: &HeaderMap, tag: &str, length: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let Some(range) = text(RANGE) else { return Wanted::Whole };
    // A client that holds a part of something else gets the whole.
    if headers.contains_key(IF_RANGE) && text(IF_RANGE) != Some(tag) {
        return Wanted::Whole;
    }
    parse(range, length).unwrap_or(Wanted::Whole)
}

/// Reads a request for those who look for text that it does not bear: `None` is the whole file.
pub(crate) fn read(
    range: &str,
    if_range: Option<&str>,
    tag: &str,
    length: u64,
) -> Option<Option<(u64, u64)>> {
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, range.parse().ok()?);
    if let Some(if_range) = if_range {
        headers.insert(IF_RANGE, if_range.parse().ok()?);
    }
    match wanted(&headers, tag, length) {
        Wanted::Whole => None,
        Wanted::Nothing => Some(None),
        Wanted::Part { first, last } => Some(Some((first, last))),
    }
}

fn parse(range: &str, length: u64) -> Option<Wanted> {
    let (unit, spec) = range.split_once('=')?;
    let (first, last) = spec.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let part = |first, last| {
        if first < length {
            Wanted::Part { first, last: std::cmp::min(last, length - 1) }
        } else {
            Wanted::Nothing
        }
    };
    if first.is_empty() {
        let count = number(last)?;
        return Some(if count == 0 { Wanted::Nothing } else { part(length.saturating_sub(count), length) });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    (first <= last).then(|| part(first, last))
}

/// Reads digits; more than fit are as good as the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(range: &str, if_range: Option<&str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, tag.parse().unwrap());
        }
        wanted(&headers, "\"tag\"", 10)
    }

    #[test]
    fn one_range_is_cut_out_and_odd_ones_are_ignored() {
        let part = |first, last| Wanted::Part { first, last };
        for (range, expected) in [
            ("bytes=0-3", part(0, 3)),
            ("bytes=8-", part(8, 9)),
            ("Bytes=2-99999999999999999999999", part(2, 9)),
            ("bytes=-4", part(6, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(asked(range, None), expected, "{range}");
        }
        assert_eq!(asked("bytes=0-3", Some("\"tag\"")), part(0, 3));
        assert_eq!(asked("bytes=0-3", Some("\"other\"")), Wanted::Whole);
        assert_eq!(asked("bytes=0-3", Some("W/\"tag\"")), Wanted::Whole);
        assert_eq!(wanted(&HeaderMap::new(), "\"tag\"", 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", length in 0..5_000_u64) {
            if let Some(Wanted::Part { first, last }) = parse(&range, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
