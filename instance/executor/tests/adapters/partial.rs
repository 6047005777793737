//! The text of an answer while Claude writes it.

use remotelab_executor::{Adapter, Parsed, Partial, Stream};
use serde_json::{Value, json};

use super::{claude, exited, fixture, thinks};

#[test]
fn text_is_told_in_pieces_until_its_line_comes() {
    let lines = fixture("claude-partial.jsonl");
    let partials: Vec<Partial> =
        told(lines.lines()).into_iter().filter_map(|parsed| parsed.partial).collect();
    let text: Vec<Partial> =
        partials.iter().filter(|partial| **partial != Partial::Progress).cloned().collect();
    let more = |text: &str| Partial::More(text.to_owned());
    let expected = [
        vec![Partial::Begun, Partial::Begun, more("Running a command."), Partial::Over, Partial::Begun],
        vec![Partial::Over, Partial::Begun, Partial::Begun],
        pieces_of("All done: **hello**", &lines).iter().map(|piece| more(piece)).collect(),
        vec![Partial::Over, Partial::Over],
    ];
    assert_eq!(text, expected.concat());
}

/// Thinking comes whole in a line of its own; its pieces are no text and no events.
#[test]
fn thinking_is_told_once() {
    let thinking = json!({"type": "thinking_delta", "thinking": "hm"});
    let whole =
        json!({"message": {"content": [{"type": "thinking", "thinking": "hm"}]}, "type": "assistant"});
    let lines = [delta(&thinking, None), whole.to_string()];
    let told = told(lines.iter().map(String::as_str));
    assert_eq!((&told[0].partial, told[0].is_lasting()), (&Some(Partial::Progress), false));
    assert_eq!(told[1].events, [thinks("hm")]);
}

/// What a sub-agent writes is addressed to its caller.
#[test]
fn helpers_write_for_nobody() {
    let text = json!({"type": "text_delta", "text": "to my caller"});
    let whole = json!({"type": "assistant", "parent_tool_use_id": "toolu_1",
        "message": {"content": [{"type": "text", "text": "to my caller"}]}});
    let told = told([delta(&text, Some("toolu_1")).as_str(), &whole.to_string()]);
    assert_eq!(
        told.iter().map(|parsed| &parsed.partial).collect::<Vec<_>>(),
        [&Some(Partial::Progress), &None]
    );
}

/// A notice that explains a failure is not pushed out by what was written after it.
#[test]
fn pieces_explain_no_failure() {
    let mut adapter = Adapter::for_tool(&claude());
    let _ = adapter.line(Stream::Stderr, "the disk is full");
    let piece = delta(&json!({"type": "text_delta", "text": "x"}), None);
    for _ in 0..50 {
        let parsed = adapter.line(Stream::Stdout, &piece);
        assert_eq!(parsed, Parsed { partial: Some(Partial::More("x".into())), ..Parsed::default() });
    }
    let failure = adapter.finish(&exited(1)).failure.unwrap();
    assert!(failure.contains("the disk is full"), "{failure}");
}

fn told<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Parsed> {
    let mut adapter = Adapter::for_tool(&claude());
    lines.into_iter().map(|line| adapter.line(Stream::Stdout, line)).collect()
}

fn delta(delta: &Value, parent: Option<&str>) -> String {
    let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
    json!({"type": "stream_event", "event": event, "parent_tool_use_id": parent}).to_string()
}

/// The pieces in which a text is in captured lines.
fn pieces_of(text: &str, lines: &str) -> Vec<String> {
    let pieces = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["event"]["delta"]["text"].as_str().map(str::to_owned)
    });
    let pieces: Vec<String> = pieces.filter(|piece| piece != "Running a command.").collect();
    assert_eq!(pieces.concat(), text);
    pieces
}
