//! Which tools and files a conversation used, in short: what a summary in words tends to lose.

use std::collections::BTreeMap;

use remotelab_protocol::event::Known;
use remotelab_protocol::session::one_line;
use remotelab_protocol::{Event, Kind};

const CALLS: usize = 8;
const FILES: usize = 12;
const FAILURES: usize = 6;
const LINE_CHARS: usize = 240;
const CHARS: usize = 10_000;

/// Writes the index of a stretch of history; empty when no tool was used.
pub(super) fn text(events: &[Event]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut calls, mut files, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let Kind::Known(known) = &event.kind else { continue };
        match known {
            Known::ToolUse { tool_name, tool_input } => {
                *counts.entry(tool_name).or_default() += 1;
                calls.push(format!("- {tool_name}: {}", short(tool_input)));
            }
            Known::ToolResult { tool_name, output, exit_code } if *exit_code != 0 => {
                failures.push(format!("- {tool_name}, exit {exit_code}: {}", short(output)));
            }
            Known::FileChange { file_path, change_type } => {
                let line = format!("- {change_type} {file_path}");
                files.retain(|known| *known != line);
                files.push(line);
            }
            _ => {}
        }
    }
    if counts.is_empty() && files.is_empty() {
        return String::new();
    }
    let used: Vec<String> = counts.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
    let used = if used.is_empty() { "none".to_owned() } else { used.join(", ") };
    let mut parts = vec![format!("Tools used: {used}")];
    for (heading, lines, most) in
        [("Last calls", calls, CALLS), ("Files touched", files, FILES), ("Failures", failures, FAILURES)]
    {
        if !lines.is_empty() {
            let last = &lines[lines.len().saturating_sub(most)..];
            parts.push(format!("{heading}:\n{}", last.join("\n")));
        }
    }
    parts.join("\n").chars().take(CHARS).collect()
}

fn short(text: &str) -> String {
    one_line(text, LINE_CHARS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_everything_and_shows_the_last() {
        let mut events: Vec<Event> = (0..10)
            .map(|n| {
                Event::new(Known::ToolUse { tool_name: "bash".into(), tool_input: format!("make {n}") }, 0)
            })
            .collect();
        events.push(Event::new(
            Known::ToolResult { tool_name: "bash".into(), output: "no\nrule".into(), exit_code: 2 },
            0,
        ));
        events.push(Event::new(Known::FileChange { file_path: "/w/a".into(), change_type: "add".into() }, 0));
        let text = text(&events);
        let expected = "Tools used: bash ×10\nLast calls:\n- bash: make 2\n- bash: make 3\n- bash: make 4\n- bash: make 5\n\
            - bash: make 6\n- bash: make 7\n- bash: make 8\n- bash: make 9\nFiles touched:\n- add /w/a\nFailures:\n- bash, exit 2: no rule";
        assert_eq!(text, expected);
        assert_eq!(super::text(&[]), "");
    }
}
