use std::fs;

use serde_json::{Value, json};

use super::*;

struct World {
    root: tempfile::TempDir,
    sources: Vec<Source>,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let sources = sources(root.path(), &root.path().join("managed"));
        Self { root, sources }
    }

    fn write(&self, path: &str, lines: &[Value]) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(path, lines).unwrap();
    }

    fn summary(&self) -> Summary {
        let options = Options {
            now: "2026-11-22T00:00:00Z".parse().unwrap(),
            days: 7,
            top: 10,
            source: "all".to_owned(),
            zone: TimeZone::UTC,
        };
        summarise(&self.sources, &options)
    }
}

fn turn(cwd: &str, model: &str, effort: &str) -> Value {
    json!({"type": "turn_context", "payload": {"cwd": cwd, "model": model, "effort": effort}})
}

fn asked(text: &str) -> Value {
    json!({"type": "event_msg", "payload": {"type": "user_message", "message": text}})
}

fn count(at: &str, input: u64, cached: u64, output: u64, reasoning: u64) -> Value {
    json!({"timestamp": at, "type": "event_msg", "payload": {"type": "token_count",
        "info": {"total_token_usage": {"input_tokens": input, "cached_input_tokens": cached, "output_tokens": output,
            "reasoning_output_tokens": reasoning, "total_tokens": input + output},
            "last_token_usage": {"input_tokens": input}, "model_context_window": 200_000},
        "rate_limits": {"secondary": {"used_percent": 12.5}}}})
}

const LOG: &str =
    ".codex/sessions/2026/11/20/rollout-2026-11-20T10-00-00-0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b.jsonl";

fn pairs(shares: &[Share]) -> Vec<(&str, u64)> {
    shares.iter().map(|share| (share.key.as_str(), share.total_tokens)).collect()
}

#[test]
fn tokens_are_credited_to_what_they_were_used_with() {
    let world = World::new();
    world.write(
        LOG,
        &[
            turn("/a", "gpt-5", "low"),
            // Before the window: only where the count stood.
            count("2026-11-10T10:00:00Z", 1_000, 0, 100, 0),
            asked("<environment_context>x"),
            asked("Sort <private>secret</private> the\nsheet"),
            count("2026-11-19T10:00:00Z", 5_000, 1_000, 600, 100),
            turn("/b", "gpt-5-mini", "high"),
            json!("noise"),
            count("2026-11-20T10:00:00Z", 6_000, 1_500, 700, 150),
            // The count begins anew.
            count("2026-11-20T11:00:00Z", 50, 0, 5, 0),
            // After the window.
            count("2026-11-23T11:00:00Z", 900, 0, 5, 0),
        ],
    );
    let summary = world.summary();
    assert_eq!((summary.sessions_scanned, summary.sessions_with_usage, summary.usage_event_count), (1, 1, 3));
    let expected = Tokens {
        total_tokens: 4_500 + 1_100 + 55,
        input_tokens: 5_050,
        cached_input_tokens: 1_500,
        output_tokens: 605,
        reasoning_tokens: 150,
    };
    assert_eq!(summary.tokens, expected);
    assert_eq!(pairs(&summary.by_model), [("gpt-5", 4_500), ("gpt-5-mini", 1_155)]);
    assert_eq!(pairs(&summary.by_effort), [("low", 4_500), ("high", 1_155)]);
    assert_eq!(pairs(&summary.by_cwd), [("/a", 4_500), ("/b", 1_155)]);
    assert_eq!(pairs(&summary.by_day), [("2026-11-19", 4_500), ("2026-11-20", 1_155)]);
    let session = &summary.sessions[0];
    assert_eq!(
        (session.session_id.as_str(), session.model.as_str(), session.prompt_preview.as_str()),
        ("0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "gpt-5", "Sort the sheet")
    );
    assert_eq!(json!(session)["dailyTotals"], json!({"2026-11-19": 4_500, "2026-11-20": 1_155}));
}

#[test]
fn a_message_of_claude_counts_once() {
    let world = World::new();
    let part = |id: &str, output: u64| {
        json!({"type": "assistant", "timestamp": "2026-11-20T10:00:00Z", "cwd": "/c", "message": {"id": id,
            "model": "opus", "usage": {"input_tokens": 10, "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 70, "output_tokens": output}}})
    };
    world.write(
        ".claude/projects/-c/4a4c0000-0000-4000-8000-000000000000.jsonl",
        &[
            json!({"type": "user", "message": {"content": [{"type": "text", "text": "Hello"}]}}),
            part("msg_1", 1),
            part("msg_1", 5),
            part("msg_2", 2),
        ],
    );
    let summary = world.summary();
    let expected = Tokens {
        total_tokens: 207,
        input_tokens: 200,
        cached_input_tokens: 140,
        output_tokens: 7,
        reasoning_tokens: 0,
    };
    assert_eq!((summary.usage_event_count, summary.tokens), (2, expected));
    assert_eq!(pairs(&summary.by_source), [("personal (~/.claude)", 207)]);
    assert_eq!(pairs(&summary.by_effort), [("(none)", 207)]);
    assert_eq!(summary.sessions[0].prompt_preview, "Hello");
}

#[test]
fn people_read_it_as_before() {
    let world = World::new();
    world.write(
        LOG,
        &[
            turn("/home/op/work", "gpt-5", "high"),
            asked("Sort the sheet"),
            count("2026-11-20T10:00:00Z", 11_000, 4_000, 1_900, 300),
        ],
    );
    let expected = "Codex usage summary (7d, all sources)
Window: 2026-11-15 00:00 → 2026-11-22 00:00
Sessions with usage: 1 / 1
Usage events: 1
Total tokens: 12,900
Input: 11,000 (85.3%)
Cached input: 4,000 (36.4% of input)
Output: 1,900 (14.7%)
Reasoning: 300 (15.8%)
Latest weekly snapshot: 12.5% at 2026-11-20 10:00 (personal (~/.codex))

By source
  personal (~/.codex) — 12,900 (100.0%)

By effort
  high — 12,900 (100.0%)

By model
  gpt-5 — 12,900 (100.0%)

Top directories
  /home/op/work — 12,900 (100.0%)

Top days
  2026-11-20 — 12,900 (100.0%)

Top sessions
  2026-11-20 10:00 | personal (~/.codex) | gpt-5 | high | 12,900 | /home/op/work
    Sort the sheet
";
    assert_eq!(text(&world.summary(), &TimeZone::UTC, "Codex"), expected);
    let empty = text(&World::new().summary(), &TimeZone::UTC, "Codex");
    assert_eq!(empty.lines().count(), 9);
    assert!(empty.ends_with("Total tokens: 0\nInput: 0 (0.0%)\nCached input: 0 (0.0% of input)\nOutput: 0 (0.0%)\nReasoning: 0 (0.0%)\n"));
}

#[test]
fn a_line_without_end_is_passed_over() {
    let world = World::new();
    let path = world.root.path().join(LOG);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let long = format!("\"{}\"", "x".repeat(5 << 20));
    fs::write(&path, format!("{long}\n{}\n", count("2026-11-20T10:00:00Z", 1, 0, 1, 0))).unwrap();
    assert_eq!(world.summary().tokens.total_tokens, 2);
}
