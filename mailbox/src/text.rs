//! What a person wrote in a mail, apart from what the mail program put around it.
//!
//! Extraction separates, it never discards: every line of the text is in exactly one of the three
//! parts, and where the boundary is in doubt the whole text counts as written.

mod flowed;
mod html;
mod quote;

pub(crate) use flowed::unflow;
pub(crate) use html::to_text;

use serde::{Deserialize, Serialize};

/// A signature longer than this is text.
const MAX_SIGNATURE_LINES: usize = 12;

/// Fewer words than this above a forwarded mail are an introduction to it.
const FORWARD_INTRODUCTION_WORDS: usize = 60;

/// The parts of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extract {
    pub(crate) reply: String,
    pub(crate) signature: String,
    pub(crate) quoted: String,
    pub(crate) method: Method,
}

/// How the parts were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// Nothing quoted.
    #[default]
    Whole,
    /// The answer stands above the quote.
    Top,
    /// Answers stand between or below quotes: all of it is kept.
    Inline,
    /// Somebody passes a mail on: all of it is kept.
    Forward,
}

/// Separates reply, signature and quoted history. The subject tells a forward from an answer.
pub(crate) fn extract(full: &str, subject: &str) -> Extract {
    let lines: Vec<&str> = full.lines().collect();
    let whole = |method| {
        let (reply, signature) = split_signature(&lines);
        Extract { reply, signature, quoted: String::new(), method }
    };
    let Some(start) = quote::first(&lines) else {
        return whole(Method::Whole);
    };
    let above = &lines[..start.line];
    if quote::is_forward_subject(subject) || start.kind == quote::Kind::Forward {
        let words: usize = above.iter().map(|line| line.split_whitespace().count()).sum();
        if words <= FORWARD_INTRODUCTION_WORDS {
            return Extract { reply: block(&lines), method: Method::Forward, ..Extract::default() };
        }
    }
    if start.kind == quote::Kind::Marked && has_own_text_below(&lines[start.line..]) {
        return Extract { reply: block(&lines), method: Method::Inline, ..Extract::default() };
    }
    let (reply, signature) = split_signature(above);
    if reply.is_empty() {
        return Extract { reply: block(&lines), method: Method::Inline, ..Extract::default() };
    }
    Extract { reply, signature, quoted: block(&lines[start.line..]), method: Method::Top }
}

/// Tells whether anything but quotes and a signature stands from the first quote on.
fn has_own_text_below(lines: &[&str]) -> bool {
    let introduction = quote::introduction_length(lines);
    let rest = &lines[introduction..];
    let end = signature_start(rest).unwrap_or(rest.len());
    rest[..end].iter().any(|line| !line.trim().is_empty() && !quote::is_marked(line))
}

fn split_signature(lines: &[&str]) -> (String, String) {
    match signature_start(lines) {
        Some(at) if !block(&lines[..at]).is_empty() => (block(&lines[..at]), block(&lines[at..])),
        _ => (block(lines), String::new()),
    }
}

/// Finds the line where the signature begins: the last `-- ` of RFC 3676 §4.3, or a closing
/// "Sent from my …".
fn signature_start(lines: &[&str]) -> Option<usize> {
    let marker = lines.iter().rposition(|line| *line == "-- " || *line == "--");
    if let Some(at) = marker
        && lines.len() - at <= MAX_SIGNATURE_LINES
        && !lines[at..].iter().any(|line| quote::is_marked(line))
    {
        return Some(at);
    }
    let last = lines.iter().rposition(|line| !line.trim().is_empty())?;
    quote::is_device_line(lines[last]).then_some(last)
}

/// Joins lines, without the blank ones at either end.
fn block(lines: &[&str]) -> String {
    let is_text = |line: &&str| !line.trim().is_empty();
    let Some(first) = lines.iter().position(is_text) else {
        return String::new();
    };
    let last = lines.iter().rposition(is_text).unwrap_or(first);
    lines[first..=last].join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> (String, String, String, Method) {
        let extract = extract(text, "Re: Numbers");
        (extract.reply, extract.signature, extract.quoted, extract.method)
    }

    #[test]
    fn separates_answer_signature_and_quote() {
        let text = "Great - and April too?\n\n-- \nOwner\n+49 30 1\n\nOn Tue, 10 Mar 2026, Rowan wrote:\n> Done.\n> See above.\n";
        assert_eq!(
            parts(text),
            (
                "Great - and April too?".into(),
                "-- \nOwner\n+49 30 1".into(),
                "On Tue, 10 Mar 2026, Rowan wrote:\n> Done.\n> See above.".into(),
                Method::Top
            )
        );
    }

    #[test]
    fn reads_quote_headers_of_many_languages_also_wrapped() {
        for header in [
            "Am 10.03.2026 um 10:00 schrieb Rowan <rowan@example.com>:",
            "Le mar. 10 mars 2026 à 10:00, Rowan a écrit :",
            "El mar, 10 mar 2026 a las 10:00, Rowan escribió:",
            "Il giorno mar 10 mar 2026 Rowan ha scritto:",
            "Em ter., 10 de mar. de 2026, Rowan escreveu:",
            "Op di 10 mrt. 2026 om 10:00 schreef Rowan:",
            "W dniu 10.03.2026 o 10:00, Rowan pisze:",
            "2026年3月10日(火) 10:00 Rowan <rowan@example.com>のメッセージ:",
            "2026년 3월 10일 (화) 오전 10:00, Rowan님이 작성:",
            "вт, 10 мар. 2026 г. в 10:00, Rowan пишет:",
            "在 2026年3月10日，Rowan 写道：",
            "On Tue, Mar 10, 2026 at 10:00 AM Rowan with a very long name\n<rowan+trial4@example.com> wrote:",
        ] {
            let text = format!("Yes.\n\n{header}\n> Shall I?\n");
            let (reply, _, quoted, method) = parts(&text);
            assert_eq!((reply.as_str(), method), ("Yes.", Method::Top), "{header}");
            assert!(quoted.starts_with(header.lines().next().unwrap()), "{header}");
        }
    }

    #[test]
    fn cuts_the_block_that_outlook_puts_below_an_answer() {
        let text = "Please go on.\n\nFrom: Rowan <rowan@example.com>\n\nSent: Tuesday\n\nTo: Owner\n\nSubject: Numbers\n\nHere they are.\n";
        let (reply, _, quoted, method) = parts(text);
        assert_eq!((reply.as_str(), method), ("Please go on.", Method::Top));
        assert!(quoted.starts_with("From: Rowan") && quoted.ends_with("Here they are."));
        let (reply, _, quoted, _) = parts("Ok.\n\n-----Original Message-----\nFrom: R\nText\n");
        assert_eq!((reply.as_str(), quoted.lines().count()), ("Ok.", 3));
    }

    #[test]
    fn keeps_answers_between_and_below_quotes() {
        let inline = "On Monday Rowan wrote:\n> Which month?\nMay.\n> Which format?\nPDF.";
        assert_eq!(parts(inline), (inline.into(), String::new(), String::new(), Method::Inline));
        let below = "> Which month?\n\nMay, please.";
        assert_eq!(parts(below), (below.into(), String::new(), String::new(), Method::Inline));
        // No marks in front of the history: nothing tells it from an answer.
        let unmarked = "Yes.\n\nOn Monday Rowan wrote:\n\nShall I?";
        assert_eq!(parts(unmarked).0, unmarked);
    }

    #[test]
    fn keeps_a_forward_whole() {
        let text = "Please file this.\n\n---------- Forwarded message ---------\nFrom: X <x@y.z>\nSubject: Bill\n\nPay 10.";
        let extract = extract(text, "Fwd: Bill");
        assert_eq!((extract.reply.as_str(), extract.method), (text, Method::Forward));
    }

    #[test]
    fn leaves_code_and_spacing_alone() {
        let code = "Fix this:\n\ndef f(x):\n    if x < 3:   print(\"<p>hi\")\n\n\n\n--flag is needed";
        assert_eq!(parts(code), (code.into(), String::new(), String::new(), Method::Whole));
    }

    #[test]
    fn a_line_about_writing_is_no_quote_header() {
        let text = "On second thought, I never wrote:\nthat was Bob.";
        assert_eq!(parts(text).0, text);
    }

    proptest! {
        #[test]
        fn no_line_is_ever_lost(lines in prop::collection::vec(prop_oneof![
            Just("text".to_owned()), Just(String::new()), Just("> quoted".to_owned()), Just("-- ".to_owned()),
            Just("On Tue, 10 Mar 2026, R wrote:".to_owned()), Just("From: R <r@x.y>".to_owned()),
            Just("Subject: S".to_owned()), Just("-----Original Message-----".to_owned()),
            Just("Sent from my phone".to_owned()), "[ -~]{0,30}"], 0..20),
            subject in prop_oneof![Just("Re: x"), Just("Fwd: x")])
        {
            let text = lines.join("\n");
            let parts = extract(&text, subject);
            let kept = [parts.reply, parts.signature, parts.quoted].join("\n");
            let of = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).filter(|l| !l.trim().is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(of(&kept), of(&text));
        }

        #[test]
        fn a_reply_is_never_empty_when_the_text_is_not(text in "[ -~\n>]{0,120}") {
            prop_assert_eq!(extract(&text, "").reply.is_empty(), text.trim().is_empty());
        }
    }
}
