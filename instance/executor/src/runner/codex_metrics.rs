//! How full Codex' context is. Codex does not print it, but its session log tells.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

/// How much of the log's end is searched, in bytes.
const TAIL: u64 = 2 << 20;

/// Folders below `sessions` are year, month and day.
const DEPTH: usize = 4;

/// Returns the id of the thread when a line of output tells it.
pub(super) fn thread_id(line: &str) -> Option<String> {
    // Cheap first: every line of a long run comes by here.
    if !line.contains("\"thread.started\"") {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let id = line["thread_id"].as_str().filter(|_| line["type"] == "thread.started")?;
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-').then(|| id.to_owned())
}

/// Makes the line that tells the figures of a thread's last turn.
pub(super) fn line(codex_home: &Path, thread_id: &str) -> Option<String> {
    let log = newest_log(&codex_home.join("sessions"), &format!("{thread_id}.jsonl"))?;
    let tail = read_tail(&log).ok()?;
    tail.rsplit(|&byte| byte == b'\n').find_map(metrics)
}

fn newest_log(sessions: &Path, suffix: &str) -> Option<PathBuf> {
    let mut found = Vec::new();
    collect(sessions, suffix, DEPTH, &mut found);
    found.into_iter().max().map(|(_, path)| path)
}

fn collect(folder: &Path, suffix: &str, depth: usize, found: &mut Vec<(SystemTime, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        if meta.is_dir() && depth > 1 {
            collect(&path, suffix, depth - 1, found);
        } else if meta.is_file() && entry.file_name().to_string_lossy().ends_with(suffix) {
            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
}

fn read_tail(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn metrics(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let payload = &line["payload"];
    if line["type"] != "event_msg" || payload["type"] != "token_count" {
        return None;
    }
    let info = payload["info"].as_object()?;
    let figures = json!({
        "type": "remotelab.context_metrics",
        "contextTokens": info.get("last_token_usage")?["input_tokens"],
        "inputTokens": info.get("total_token_usage").map(|total| &total["input_tokens"]),
        "outputTokens": info.get("total_token_usage").map(|total| &total["output_tokens"]),
        "contextWindowTokens": info.get("model_context_window"),
        "contextSource": "provider_last_token_count",
    });
    Some(figures.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_last_count_of_the_thread() {
        let home = tempfile::tempdir().unwrap();
        let day = home.path().join("sessions/2026/11/22");
        fs::create_dir_all(&day).unwrap();
        let count = |context: u64| {
            json!({"type": "event_msg", "payload": {"type": "token_count", "info": {
                "last_token_usage": {"input_tokens": context}, "model_context_window": 6000,
                "total_token_usage": {"input_tokens": 9000, "output_tokens": 300}}}})
        };
        let log = format!("{}\n{}\n{{\"type\":\"other\"}}\nhalf a li", count(1), count(7000));
        fs::write(day.join("rollout-2026-0199-a.jsonl"), log).unwrap();
        fs::write(day.join("rollout-2026-0199-b.jsonl"), count(5).to_string()).unwrap();

        let line: Value = serde_json::from_str(&line(home.path(), "0199-a").unwrap()).unwrap();
        assert_eq!(
            line,
            json!({"type": "remotelab.context_metrics", "contextTokens": 7000, "inputTokens": 9000,
                "outputTokens": 300, "contextWindowTokens": 6000, "contextSource": "provider_last_token_count"})
        );
        assert_eq!(super::line(home.path(), "0199-c"), None);
    }

    #[test]
    fn knows_the_line_that_names_the_thread() {
        let told = |line: &str| thread_id(line);
        assert_eq!(told(r#"{"type":"thread.started","thread_id":"0199-a"}"#).as_deref(), Some("0199-a"));
        for other in [
            r#"{"type":"x","text":"\"thread.started\"","thread_id":"0199-a"}"#,
            r#"{"type":"thread.started","thread_id":"../../x"}"#,
            r#"{"type":"thread.started"}"#,
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
