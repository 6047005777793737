//! Where a prefix goes into the addresses of a text.

/// Tells whether a reference, without blanks around it, is a path from the root that is not below `prefix`.
///
/// Two slashes begin the name of another host, and browsers read a backslash as a slash.
#[must_use]
pub fn is_outside(reference: &[u8], prefix: &[u8]) -> bool {
    let [b'/', rest @ ..] = reference else { return false };
    if matches!(rest.first(), Some(b'/' | b'\\')) {
        return false;
    }
    let below = reference.strip_prefix(prefix);
    !below.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'/' | b'?' | b'#'))
}

/// Adds the prefix to a reference that needs one, which may have blanks around it.
#[must_use]
pub fn below(reference: &str, prefix: &str) -> Option<String> {
    let start = reference.len() - reference.trim_start_matches(is_blank).len();
    let end = reference.trim_end_matches(is_blank).len();
    let bare = reference.get(start..end)?;
    is_outside(bare.as_bytes(), prefix.as_bytes()).then(|| insert(reference, &[start], prefix))
}

/// Adds the prefix to each candidate of a `srcset` that needs one.
#[must_use]
pub fn srcset_below(candidates: &str, prefix: &str) -> Option<String> {
    let mut places = Vec::new();
    let mut at = 0;
    loop {
        at += skip(&candidates[at..], |c| is_blank(c) || c == ',');
        let url = &candidates[at..at + skip(&candidates[at..], |c| !is_blank(c))];
        if url.is_empty() {
            break;
        }
        let bare = url.trim_end_matches(',');
        if is_outside(bare.as_bytes(), prefix.as_bytes()) {
            places.push(at);
        }
        at += url.len();
        if bare.len() == url.len() {
            // What describes it may hold commas in parentheses.
            let mut depth = 0_u32;
            at += skip(&candidates[at..], |c| {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                c != ',' || depth > 0
            });
        }
    }
    (!places.is_empty()).then(|| insert(candidates, &places, prefix))
}

/// Adds the prefix to what a page refreshes to: `5; url=/next`.
#[must_use]
pub fn refresh_below(content: &str, prefix: &str) -> Option<String> {
    let delay = skip(content, |c| !matches!(c, ';' | ','));
    let rest = content.get(delay + 1..)?;
    let mut at = delay + 1 + skip(rest, is_blank);
    if content.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case("url")) {
        let after = at + 3 + skip(&content[at + 3..], is_blank);
        if content[after..].starts_with('=') {
            at = after + 1 + skip(&content[after + 1..], is_blank);
        }
    }
    let end = match content[at..].chars().next() {
        Some(quote @ ('"' | '\'')) => {
            at += 1;
            at + skip(&content[at..], |c| c != quote)
        }
        _ => content.len(),
    };
    let bare = content[at..end].trim_end_matches(is_blank);
    is_outside(bare.as_bytes(), prefix.as_bytes()).then(|| insert(content, &[at], prefix))
}

pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// How many bytes at the beginning are such characters.
fn skip(text: &str, mut is_such: impl FnMut(char) -> bool) -> usize {
    text.find(|c| !is_such(c)).unwrap_or(text.len())
}

fn insert(text: &str, places: &[usize], prefix: &str) -> String {
    let mut whole = String::with_capacity(text.len() + places.len() * prefix.len());
    let mut from = 0;
    for &place in places {
        whole.push_str(&text[from..place]);
        whole.push_str(prefix);
        from = place;
    }
    whole.push_str(&text[from..]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(of: fn(&str, &str) -> Option<String>, pairs: &[(&str, &str)]) {
        for (given, wanted) in pairs {
            let once = of(given, "/p").unwrap_or_else(|| (*given).to_owned());
            assert_eq!(&once, wanted, "{given}");
            assert_eq!(of(&once, "/p"), None, "{given} twice");
        }
    }

    #[test]
    fn paths_from_the_root_get_the_prefix_once() {
        all(
            below,
            &[
                ("/", "/p/"),
                ("/x?y#z", "/p/x?y#z"),
                (" \n/x ", " \n/p/x "),
                ("/px", "/p/px"),
                ("/p", "/p"),
                ("/p?x", "/p?x"),
                ("/p/x", "/p/x"),
                ("//cdn.example/x", "//cdn.example/x"),
                ("/\\cdn.example/x", "/\\cdn.example/x"),
                ("https://h/x", "https://h/x"),
                ("x", "x"),
                ("#x", "#x"),
                ("", ""),
                ("/你好", "/p/你好"),
            ],
        );
    }

    #[test]
    fn each_candidate_is_looked_at() {
        all(
            srcset_below,
            &[
                ("/a.png 1x, /b.png 2x", "/p/a.png 1x, /p/b.png 2x"),
                ("/a.png,/b.png", "/p/a.png,/b.png"),
                ("/a.png, b.png 2x,/c.png 3x", "/p/a.png, b.png 2x,/p/c.png 3x"),
                (",, /a.png (1,2), /p/b.png", ",, /p/a.png (1,2), /p/b.png"),
                ("data:image/png,/x 1x", "data:image/png,/x 1x"),
                ("//h/a.png 1x", "//h/a.png 1x"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn what_a_page_refreshes_to_is_found() {
        all(
            refresh_below,
            &[
                ("5; url=/x", "5; url=/p/x"),
                ("5;URL = '/x'", "5;URL = '/p/x'"),
                ("0, /x", "0, /p/x"),
                ("0; url=\"/p/x\"", "0; url=\"/p/x\""),
                ("5", "5"),
                ("5; url=https://h/x", "5; url=https://h/x"),
                ("5; url", "5; url"),
            ],
        );
    }
}
