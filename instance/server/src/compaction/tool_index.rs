//! Which tools and files a conversation used, in short: what a summary in words tends to lose.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use remotelab_protocol::event::Known;
use remotelab_protocol::session::one_line;
use remotelab_protocol::{Event, Kind};
use remotelab_store::history::{Bodies, History};

const CALLS: usize = 8;
const FILES: usize = 12;
const FAILURES: usize = 6;
const LINE_CHARS: usize = 240;
const CHARS: usize = 10_000;

/// Writes the index of a stretch of history; empty when no tool was used. Blocks; holds one event at a time.
pub(super) fn of(history: &History, stretch: RangeInclusive<u64>) -> String {
    let mut index = Index::default();
    stretch.filter_map(|seq| history.event(seq, Bodies::Preview)).for_each(|event| index.add(&event));
    index.text()
}

#[derive(Default)]
struct Index {
    counts: BTreeMap<String, usize>,
    calls: Latest<CALLS>,
    files: Latest<FILES>,
    failures: Latest<FAILURES>,
}

/// The last lines of their kind.
#[derive(Default)]
struct Latest<const MOST: usize>(VecDeque<String>);

impl Index {
    fn add(&mut self, event: &Event) {
        let Kind::Known(known) = &event.kind else { return };
        match known {
            Known::ToolUse { tool_name, tool_input } => {
                *self.counts.entry(tool_name.clone()).or_default() += 1;
                self.calls.add(format!("- {tool_name}: {}", short(tool_input)));
            }
            Known::ToolResult { tool_name, output, exit_code } if *exit_code != 0 => {
                self.failures.add(format!("- {tool_name}, exit {exit_code}: {}", short(output)));
            }
            Known::FileChange { file_path, change_type } => {
                let line = format!("- {change_type} {file_path}");
                self.files.0.retain(|known| *known != line);
                self.files.add(line);
            }
            _ => {}
        }
    }

    fn text(self) -> String {
        if self.counts.is_empty() && self.files.0.is_empty() {
            return String::new();
        }
        let used: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
        let used = if used.is_empty() { "none".to_owned() } else { used.join(", ") };
        let mut parts = vec![format!("Tools used: {used}")];
        let lists =
            [("Last calls", self.calls.0), ("Files touched", self.files.0), ("Failures", self.failures.0)];
        for (heading, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            parts.push(format!("{heading}:\n{}", Vec::from(lines).join("\n")));
        }
        parts.join("\n").chars().take(CHARS).collect()
    }
}

impl<const MOST: usize> Latest<MOST> {
    fn add(&mut self, line: String) {
        self.0.push_back(line);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }
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
        let mut index = Index::default();
        events.iter().for_each(|event| index.add(event));
        let expected = "Tools used: bash ×10\nLast calls:\n- bash: make 2\n- bash: make 3\n- bash: make 4\n- bash: make 5\n\
            - bash: make 6\n- bash: make 7\n- bash: make 8\n- bash: make 9\nFiles touched:\n- add /w/a\nFailures:\n- bash, exit 2: no rule";
        assert_eq!(index.text(), expected);
        assert_eq!(Index::default().text(), "");
    }
}
