//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use std::path::Path;

use remotelab_executor::{Adapter, Parsed, SpoolReader, Stream};
use remotelab_protocol::Event;
use remotelab_protocol::event::Known;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::tool::{RuntimeFamily, Tool};

/// The lines are what Codex printed, notices begin with `!`.
pub fn codex(data: &[u8]) {
    adapter(data, Some(RuntimeFamily::CodexJson), "codex");
}

/// The lines are what Claude Code printed, notices begin with `!`.
pub fn claude(data: &[u8]) {
    adapter(data, Some(RuntimeFamily::ClaudeStreamJson), "claude");
}

/// The lines are what one of the other built-in programs printed; each reads them as its own.
pub fn others(data: &[u8]) {
    for id in ["opencode", "gemini", "copilot", "cline"] {
        adapter(data, None, id);
    }
}

/// The bytes, often enough to fill several reads, are a run's spool. Reading it in pieces, or on from any
/// record, gives the same records and always ends.
pub fn spool(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path();
    let bytes = data.repeat(1 + 10_000 / data.len().max(1));
    std::fs::write(run.join("spool.jsonl"), &bytes).expect("a temporary file");
    let whole = read_all(run, 0, 1 << 20);
    assert_eq!(read_all(run, 0, 1), whole);
    assert!(whole.is_sorted_by(|a, b| a.end_offset < b.end_offset));
    if let Some(middle) = whole.get(whole.len() / 2) {
        assert!(middle.end_offset <= bytes.len() as u64);
        assert_eq!(read_all(run, middle.end_offset, 1 << 20), whole[whole.len() / 2 + 1..]);
    }
}

/// Nothing that is printed stops the reading; a reader that begins anew, or goes on from a copy made in
/// the middle, comes to the same; every event says something and can be stored; and a run that failed
/// has a reason.
fn adapter(data: &[u8], family: Option<RuntimeFamily>, id: &str) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').collect();
    let tool = Tool { id: id.into(), runtime_family: family, builtin: true, ..Tool::default() };
    let (before, after) = lines.split_at(lines.len() / 2);
    for code in [0, 1] {
        let mut one = Adapter::for_tool(&tool);
        let mut whole = feed(&mut one, &lines);
        whole.push(one.finish(&exited(code)));

        let mut first = Adapter::for_tool(&tool);
        let mut parts = feed(&mut first, before);
        let mut second = first.clone();
        parts.extend(feed(&mut second, after));
        parts.push(second.finish(&exited(code)));
        assert_eq!(parts, whole);

        assert!(code == 0 || whole.last().is_some_and(|end| end.failure.is_some()));
        whole.into_iter().flat_map(|parsed| parsed.events).for_each(assert_can_be_stored);
    }
}

fn feed(adapter: &mut Adapter, lines: &[&str]) -> Vec<Parsed> {
    let mut line = |line: &&str| match line.strip_prefix('!') {
        Some(notice) => adapter.line(Stream::Stderr, notice),
        None => adapter.line(Stream::Stdout, line),
    };
    lines.iter().map(&mut line).collect()
}

fn assert_can_be_stored(known: Known) {
    if let Known::Message(message) = &known {
        assert!(!message.content.trim().is_empty(), "an empty message");
    }
    let event = Event::new(known, 0);
    let text = serde_json::to_string(&event).expect("an event is always JSON");
    assert_eq!(serde_json::from_str::<Event>(&text).expect("what was written can be read"), event);
}

fn read_all(run: &Path, offset: u64, at_once: usize) -> Vec<remotelab_executor::Record> {
    let mut reader = SpoolReader::open(run, offset);
    let mut records = Vec::new();
    loop {
        let before = reader.offset();
        records.extend(reader.read_new(at_once).expect("a temporary file"));
        assert!(reader.offset() >= before);
        if reader.offset() == before {
            return records;
        }
    }
}

fn exited(code: i32) -> RunResult {
    RunResult {
        completed_at: "2026-11-22T07:26:39.751Z".into(),
        exit_code: Some(code),
        signal: None,
        cancelled: false,
        error: None,
    }
}
