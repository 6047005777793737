//! What the executor that summarises answers.

/// A summary and what the reader is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) summary: String,
    pub(super) handoff: String,
}

const FALLBACK: &str = "The conversation so far was summarised, so that the work can go on with room to spare. \
    Everything above stays readable here.";

impl Summary {
    /// Reads `<summary>…</summary>` and `<handoff>…</handoff>`; `None` without a summary.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let summary = between(text, "summary")?;
        Some(Self { summary, handoff: between(text, "handoff").unwrap_or_else(|| FALLBACK.to_owned()) })
    }
}

fn between(text: &str, tag: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    let (inside, _) = rest.split_once(&format!("</{tag}>"))?;
    Some(inside.trim().to_owned()).filter(|inside| !inside.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_needed_and_a_handoff_welcome() {
        let both =
            Summary::parse("ok <summary> what was done </summary>\n<handoff>next: x</handoff>").unwrap();
        assert_eq!((both.summary.as_str(), both.handoff.as_str()), ("what was done", "next: x"));
        assert_eq!(Summary::parse("<summary>a</summary>").unwrap().handoff, FALLBACK);
        for text in ["", "<summary>cut off", "<summary> </summary>", "<handoff>x</handoff>"] {
            assert_eq!(Summary::parse(text), None);
        }
    }
}
