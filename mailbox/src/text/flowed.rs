//! `format=flowed` (RFC 3676): joining lines that the sender's program broke.

/// Joins soft line breaks. `delsp`: the space at the break is not part of the text.
pub(crate) fn unflow(text: &str, delsp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let depth = line.len() - line.trim_start_matches('>').len();
        let content = &line[depth..];
        let content = content.strip_prefix(' ').unwrap_or(content);
        if open == Some(depth) && content != "-- " {
            out.push_str(content);
        } else {
            if index > 0 {
                out.push('\n');
            }
            if depth > 0 {
                out.push_str(&line[..depth]);
                out.push(' ');
            }
            out.push_str(content);
        }
        open = (content.ends_with(' ') && content != "-- ").then_some(depth);
        if open.is_some() && delsp {
            out.pop();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unflow;

    #[test]
    fn joins_soft_breaks_only() {
        assert_eq!(unflow("one \ntwo\nthree\n", false), "one two\nthree");
        assert_eq!(unflow("one \ntwo", true), "onetwo");
        assert_eq!(unflow("> a \n> b\nc \n-- \nme", false), "> a b\nc \n-- \nme");
        assert_eq!(unflow(" indented", false), "indented");
    }
}
