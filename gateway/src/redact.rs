//! What of a request's head may stand in a log: nothing that opens a door.

use percent_encoding::percent_decode_str;

/// What stands for something that looks like a secret.
const MASK: &str = "***";
/// Longest part of a path that is kept.
const MAX_PATH: usize = 1024;
/// How many names of a query are kept, and how much of each.
const MAX_NAMES: usize = 16;
const MAX_NAME: usize = 64;
/// This many hex digits in a row are a secret.
const SECRET_HEX: usize = 32;
/// How secrets of the product begin.
const SECRET_PREFIXES: [&str; 3] = ["snap_", "ih_", "rlt_"];

/// Writes a path with its secrets masked, and the names of its query without their values.
pub fn push_target(line: &mut String, path: &str, query: Option<&str>) {
    let kept = cut(path, MAX_PATH);
    for (at, segment) in kept.split('/').enumerate() {
        if at > 0 {
            line.push('/');
        }
        push_json(line, if is_secret(segment) { MASK } else { segment });
    }
    let names = query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
    for (at, pair) in names.take(MAX_NAMES).enumerate() {
        line.push(if at == 0 { '?' } else { '&' });
        let name = pair.split('=').next().unwrap_or_default();
        push_json(line, if is_secret(name) { MASK } else { cut(name, MAX_NAME) });
    }
}

/// Writes text as part of a JSON string.
pub fn push_json(line: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        line.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            // Also what would end a line for somebody.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => line.push(' '),
            c => line.push(c),
        }
    }
}

/// Cuts text to at most so many bytes.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn is_secret(segment: &str) -> bool {
    let plain = percent_decode_str(segment).decode_utf8_lossy();
    let mut run = 0;
    let has_long_hex = plain.bytes().any(|byte| {
        run = if byte.is_ascii_hexdigit() { run + 1 } else { 0 };
        run >= SECRET_HEX
    });
    has_long_hex || SECRET_PREFIXES.iter().any(|prefix| plain.contains(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(path: &str, query: Option<&str>) -> String {
        let mut line = String::new();
        push_target(&mut line, path, query);
        line
    }

    #[test]
    fn secrets_are_masked_and_values_left_out() {
        let hex = "0123456789abcdef0123456789ABCDEF";
        let escaped = "%30123456789abcdef0123456789ABCDEF";
        for (path, query, expected) in [
            ("/owner/api/sessions", None, "/owner/api/sessions"),
            ("/", Some("token=abc&x=1&y"), "/?token&x&y"),
            ("/m/install", Some("h=ih_1234"), "/m/install?h"),
            ("/t/share/snap_12ab/x", None, "/t/share/***/x"),
            ("/t/share/%73nap_12ab", None, "/t/share/***"),
            ("/rlt_a", Some("rlt_a&a=rlt_b"), "/***?***&a"),
            (&format!("/x{hex}.js"), Some(hex), "/***?***"),
            (&format!("/{escaped}"), None, "/***"),
            ("/run_0123456789abcdef01234567", None, "/run_0123456789abcdef01234567"),
            ("/a\"b\\c", Some("\"=1"), "/a\\\"b\\\\c?\\\""),
            ("/%zz%", None, "/%zz%"),
        ] {
            assert_eq!(target(path, query), expected);
        }
        assert!(target(&"/a".repeat(9_000), Some(&"b=&".repeat(9_000))).len() < 1_100);
    }

    proptest! {
        #[test]
        fn no_secret_comes_through(
            before in "[a-z/]{0,9}", secret in "[0-9a-f]{48}", after in "[g-z/?&=]{0,9}", escape in 0usize..48,
        ) {
            let (start, end) = secret.split_at(escape);
            let escaped = end.bytes().next().map_or(String::new(), |byte| format!("%{byte:02x}"));
            for text in [secret.clone(), format!("{start}{escaped}{}", end.get(1..).unwrap_or_default())] {
                let whole = format!("/{before}{text}{after}");
                let (path, query) = whole.split_once('?').map_or((&*whole, None), |(p, q)| (p, Some(q)));
                for line in [target(path, query), target("/", Some(&whole)), target("/", Some(&format!("a={text}")))] {
                    prop_assert!(!line.contains(&text[..24]) && !line.contains(&secret[24..]), "{line}");
                }
            }
        }

        #[test]
        fn what_is_written_is_json(path in "\\PC{0,40}", query in "\\PC{0,40}") {
            let line = format!("\"{}\"", target(&path, Some(&query)));
            prop_assert!(serde_json::from_str::<String>(&line).is_ok(), "{line}");
        }
    }
}
