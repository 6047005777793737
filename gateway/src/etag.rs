//! Tags of answers whose bodies leave otherwise than they came.
//!
//! Such an answer gets a weak tag that tells what was done to it, by which version of it, and what its tag was
//! before. When a client asks again, the instance is asked by the tag that it gave.

use http::HeaderValue;

/// What was done to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its addresses got a prefix.
    Rewritten,
    /// It was packed.
    Packed,
}

impl Mark {
    const ALL: [Self; 2] = [Self::Rewritten, Self::Packed];

    /// To be counted up when what is done changes.
    fn suffix(self) -> &'static str {
        match self {
            Self::Rewritten => "~r1",
            Self::Packed => "~p1",
        }
    }
}

/// After the mark of a tag that was strong.
const STRONG: char = 's';

/// Marks a tag; what is no tag is `None`.
#[must_use]
pub fn mark(tag: &HeaderValue, mark: Mark) -> Option<HeaderValue> {
    let text = tag.to_str().ok()?.trim();
    let (strength, quoted) = match text.strip_prefix("W/") {
        Some(quoted) => ("", quoted),
        None => ("s", text),
    };
    let opaque = opaque(quoted)?;
    HeaderValue::try_from(format!("W/\"{opaque}{}{strength}\"", mark.suffix())).ok()
}

/// Replaces marked tags of an `If-None-Match` by those of the instance; `None` when none is marked. Tells also
/// what was done to the answer that a client has.
#[must_use]
pub fn unmark(list: &HeaderValue) -> Option<(HeaderValue, Mark)> {
    let text = list.to_str().ok()?;
    let mut unmarked = String::with_capacity(text.len());
    let mut found = None;
    let mut rest = text;
    // A tag has no quotes in it, so each second quote ends one.
    while let Some((before, after)) = rest.split_once('"') {
        let (opaque, after) = after.split_once('"')?;
        let was = Mark::ALL.iter().find_map(|mark| {
            let strong = opaque.strip_suffix(STRONG).and_then(|opaque| opaque.strip_suffix(mark.suffix()));
            let weak = opaque.strip_suffix(mark.suffix());
            Some((*mark, strong.or(weak)?, strong.is_some()))
        });
        match (was, before.strip_suffix("W/")) {
            (Some((mark, opaque, is_strong)), Some(before)) => {
                found = Some(mark);
                unmarked.push_str(before);
                unmarked.push_str(if is_strong { "\"" } else { "W/\"" });
                unmarked.push_str(opaque);
            }
            _ => {
                unmarked.push_str(before);
                unmarked.push('"');
                unmarked.push_str(opaque);
            }
        }
        unmarked.push('"');
        rest = after;
    }
    unmarked.push_str(rest);
    Some((HeaderValue::try_from(unmarked).ok()?, found?))
}

fn opaque(quoted: &str) -> Option<&str> {
    let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (!opaque.contains('"')).then_some(opaque)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(tag: &str, with: Mark) -> Option<String> {
        mark(&tag.parse().unwrap(), with).map(|tag| tag.to_str().unwrap().to_owned())
    }

    fn unmarked(list: &str) -> Option<(String, Mark)> {
        unmark(&list.parse().unwrap()).map(|(list, mark)| (list.to_str().unwrap().to_owned(), mark))
    }

    #[test]
    fn lists_are_unmarked_one_by_one() {
        assert_eq!(marked("\"a\"", Mark::Rewritten).as_deref(), Some("W/\"a~r1s\""));
        assert_eq!(marked("W/\"a\"", Mark::Packed).as_deref(), Some("W/\"a~p1\""));
        for no_tag in ["a", "\"a", "\"a\"b\"", ""] {
            assert_eq!(marked(no_tag, Mark::Packed), None);
        }
        assert_eq!(
            unmarked("\"x\", W/\"a,~r1s\",W/\"b~r1\", W/\"c~r0\""),
            Some(("\"x\", \"a,\",W/\"b\", W/\"c~r0\"".to_owned(), Mark::Rewritten))
        );
        for other in ["*", "\"a\"", "\"a~r1s\"", "W/\"a~r1", ""] {
            assert_eq!(unmarked(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn tags_come_back(tag in "(W/)?\"[!#-~]{0,20}\"", packed: bool) {
            let with = if packed { Mark::Packed } else { Mark::Rewritten };
            let marked = marked(&tag, with).unwrap();
            prop_assert_eq!(unmarked(&marked), Some((tag, with)));
        }
    }
}
