//! Values in a YAML file, as far as they are understood.

/// A value and where it stands in its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// What it says.
    pub(super) text: String,
    /// Its bytes in the line, quotes included.
    pub(super) span: std::ops::Range<usize>,
}

/// Reads the value that begins at or behind a place of a line. What is more than a plain or quoted text is an
/// error, which says so.
pub(super) fn read(line: &str, from: usize) -> Result<Scalar, &'static str> {
    let rest = &line[from..];
    let start = from + (rest.len() - rest.trim_start().len());
    let rest = line[start..].trim_end();
    let Some(first) = rest.chars().next() else {
        return Ok(Scalar { text: String::new(), span: start..start });
    };
    match first {
        '#' => Ok(Scalar { text: String::new(), span: start..start }),
        quote @ ('"' | '\'') => quoted(rest, quote, start),
        '{' | '[' => Err("a list or mapping on one line"),
        '&' | '*' => Err("an anchor"),
        '!' => Err("a tag"),
        '|' | '>' => Err("a text of several lines"),
        _ => {
            let text = rest.split(" #").next().unwrap_or_default().trim_end();
            if text.contains(": ") || text.ends_with(':') {
                return Err("a value that is a mapping");
            }
            Ok(Scalar { text: text.to_owned(), span: start..start + text.len() })
        }
    }
}

fn quoted(rest: &str, quote: char, start: usize) -> Result<Scalar, &'static str> {
    let inner = &rest[1..];
    let end = inner.find(quote).ok_or("a quote without its end")?;
    let text = &inner[..end];
    let behind = inner[end + 1..].trim_start();
    if text.contains('\\') || !(behind.is_empty() || behind.starts_with('#')) {
        return Err("a quoted text with more in it");
    }
    Ok(Scalar { text: text.to_owned(), span: start..start + end + 2 })
}

/// Writes a value so that it is read as this text.
pub(super) fn write(text: &str) -> String {
    // A star would be an alias; nothing else that host names and services begin with means anything.
    if text.starts_with('*') { format!("\"{text}\"") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_quoted_values_are_read_and_others_are_not() {
        let text = |line: &str| read(line, 2).map(|scalar| (scalar.text, line[scalar.span].to_owned()));
        let value = |text: &str, shown: &str| Ok((text.to_owned(), shown.to_owned()));
        assert_eq!(text("a: b.c # d"), value("b.c", "b.c"));
        assert_eq!(text("a: http://x:1/#y"), value("http://x:1/#y", "http://x:1/#y"));
        assert_eq!(text("a: \"*.b\"  # c"), value("*.b", "\"*.b\""));
        assert_eq!(text("a: 'b'"), value("b", "'b'"));
        assert_eq!(text("a:   # c"), value("", ""));
        for odd in ["a: {b: c}", "a: &b c", "a: *b", "a: |", "a: \"b\\n\"", "a: 'b''c'", "a: \"b", "a: b: c"]
        {
            assert!(text(odd).is_err(), "{odd}");
        }
        assert_eq!(write("*.a.b"), "\"*.a.b\"");
    }
}
