//! The steps of a turn: what a folded block holds, and what a running turn does now.

use remotelab_protocol::event::Known;
use remotelab_protocol::reply::visible_text;
use remotelab_protocol::{Activity, Event, Kind, Role};

use super::{Render, Viewer};
use crate::web::words::{Running as RunningWords, Words, fill};

/// More of one input or output is not shown, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;
/// What a one-line summary holds, in characters.
const LONGEST_GIST: usize = 140;

/// What a folded block holds.
#[derive(Clone, Debug)]
pub struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) words: &'static Words,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Thought(String),
    Said(String),
    Tool { name: String, gist: String, input: String, result: Option<ToolResult> },
    File { word: &'static str, path: String },
    Note(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolResult {
    pub(crate) output: String,
    pub(crate) failed: bool,
    pub(crate) word: String,
}

impl Steps {
    /// Draws the events of a block, in order.
    #[must_use]
    pub fn of(events: &[Event], render: Render<'_>, viewer: &Viewer) -> Self {
        let words = viewer.words();
        let mut steps: Vec<Step> = Vec::new();
        for event in events {
            let Kind::Known(kind) = &event.kind else {
                continue;
            };
            match kind {
                Known::Reasoning { content } if !content.trim().is_empty() => {
                    steps.push(Step::Thought(render(event.seq, content)));
                }
                Known::Message(message) if !visible_text(&message.content).is_empty() => {
                    steps.push(Step::Said(render(event.seq, &message.content)));
                }
                Known::ToolUse { tool_name, tool_input } => steps.push(Step::Tool {
                    name: tool_name.clone(),
                    gist: gist(tool_input),
                    input: shown(tool_input),
                    result: None,
                }),
                Known::ToolResult { tool_name, output, exit_code } => {
                    add_result(&mut steps, tool_name, result(output, *exit_code, words));
                }
                Known::FileChange { file_path, change_type } => steps.push(Step::File {
                    word: match change_type.as_str() {
                        "add" => &words.step.added,
                        "delete" => &words.step.deleted,
                        _ => &words.step.changed,
                    },
                    path: file_path.clone(),
                }),
                Known::Status { content } => steps.push(Step::Note(content.clone())),
                // What the server itself told the executor is not the person's business.
                _ => {}
            }
        }
        Self { steps, words }
    }
}

/// Puts a result to the latest call that has none.
fn add_result(steps: &mut Vec<Step>, tool: &str, result: ToolResult) {
    let open = steps.iter_mut().rev().find_map(|step| match step {
        Step::Tool { result: open @ None, .. } => Some(open),
        _ => None,
    });
    match open {
        Some(open) => *open = Some(result),
        None => steps.push(Step::Tool {
            name: tool.to_owned(),
            gist: String::new(),
            input: String::new(),
            result: Some(result),
        }),
    }
}

fn result(output: &str, exit_code: i32, words: &Words) -> ToolResult {
    ToolResult {
        output: shown(output),
        failed: exit_code != 0,
        word: if exit_code == 0 {
            words.step.succeeded.clone()
        } else {
            fill(&words.step.exit, &[("code", &exit_code.to_string())])
        },
    }
}

/// The row at the end of a running turn.
#[derive(Clone, Debug)]
pub struct Running {
    /// ISO time at which it began; empty when nobody noted it.
    pub(crate) since: String,
    /// What it is doing, in plain words.
    pub(crate) doing: String,
    /// With what: a command, a file.
    pub(crate) gist: String,
    pub(crate) steps: String,
    pub(crate) range: Option<String>,
    /// What it said so far.
    pub(crate) interim: Option<String>,
    /// What it is saying.
    pub(crate) writing: Option<String>,
    pub(crate) stopping: bool,
    /// What follows a turn by itself ends by itself.
    pub(crate) can_stop: bool,
}

impl Running {
    /// Tells of the active run, or of what follows a turn; `None` when nothing is done. `events` are those of
    /// the run's block so far.
    #[must_use]
    pub fn of(activity: &Activity, events: &[Event], render: Render<'_>, viewer: &Viewer) -> Option<Self> {
        if !activity.is_running() {
            return Self::after_turn(activity, &viewer.words().running);
        }
        let words = viewer.words();
        let (mut doing, gist) = doing(events, words);
        if activity.run.cancel_requested {
            doing.clone_from(&words.running.stopping);
        }
        let interim = events.iter().rev().find(|event| event.is_message_of(Role::Assistant));
        let shown = |event: &Event| Some(render(event.seq, &event.as_message()?.content));
        let range =
            events.first().zip(events.last()).map(|(first, last)| format!("{}-{}", first.seq, last.seq));
        Some(Self {
            since: activity.run.started_at.clone().unwrap_or_default(),
            doing,
            gist,
            steps: if events.is_empty() { String::new() } else { words.thread.steps.of(events.len()) },
            range,
            interim: interim.and_then(shown).filter(|html| !html.is_empty()),
            writing: None,
            stopping: activity.run.cancel_requested,
            can_stop: true,
        })
    }

    fn after_turn(activity: &Activity, words: &RunningWords) -> Option<Self> {
        let doing = if activity.compact.state == "pending" {
            &words.summarising
        } else if activity.run.state == "running" {
            &words.checking
        } else {
            return None;
        };
        Some(Self {
            since: String::new(),
            doing: doing.clone(),
            gist: String::new(),
            steps: String::new(),
            range: None,
            interim: None,
            writing: None,
            stopping: false,
            can_stop: false,
        })
    }

    /// Adds the text that is being written, as safe HTML.
    #[must_use]
    pub fn with_writing(mut self, html: Option<String>, viewer: &Viewer) -> Self {
        if html.is_some() && !self.stopping {
            self.doing.clone_from(&viewer.words().running.writing);
            self.gist.clear();
        }
        Self { writing: html, ..self }
    }
}

fn doing(events: &[Event], words: &Words) -> (String, String) {
    let words = &words.running;
    let Some(last) = events.last() else {
        return (words.starting.clone(), String::new());
    };
    match &last.kind {
        Kind::Known(Known::ToolUse { tool_name, tool_input }) => {
            let command = ["bash", "shell", "exec", "command_execution", "local_shell"];
            let doing = if command.iter().any(|name| tool_name.eq_ignore_ascii_case(name)) {
                words.command.clone()
            } else {
                fill(&words.tool, &[("tool", tool_name)])
            };
            (doing, gist(tool_input))
        }
        Kind::Known(Known::FileChange { file_path, .. }) => {
            let name = file_path.rsplit('/').next().unwrap_or(file_path);
            (fill(&words.file, &[("file", name)]), String::new())
        }
        Kind::Known(Known::Message(_)) => (words.writing.clone(), String::new()),
        Kind::Known(Known::Reasoning { .. } | Known::ToolResult { .. }) => {
            (words.thinking.clone(), String::new())
        }
        _ => (words.working.clone(), String::new()),
    }
}

/// Says in one line what a tool was given: the telling field of a JSON input, else its first line.
fn gist(input: &str) -> String {
    const TELLING: &[&str] =
        &["command", "file_path", "path", "pattern", "query", "url", "description", "prompt"];
    let parsed: Option<serde_json::Value> = serde_json::from_str(input).ok();
    let told = parsed.as_ref().and_then(|value| TELLING.iter().find_map(|field| value.get(field)?.as_str()));
    let line = told.unwrap_or(input).lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    cut(line.trim(), LONGEST_GIST)
}

/// Cuts a text to a number of characters.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Makes a terminal's text readable: escape sequences out, and not longer than a page bears.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST_TEXT));
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if shown.len() >= LONGEST_TEXT {
            shown.push_str("\n…");
            break;
        }
        match character {
            '\u{1b}' => skip_escape(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => shown.push('\n'),
            c if c.is_control() && c != '\n' && c != '\t' => {}
            c => shown.push(c),
        }
    }
    shown
}

/// Skips the rest of a CSI sequence (`ESC [ … letter`) or of a two-character one.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if rest.next_if_eq(&'[').is_none() {
        rest.next();
        return;
    }
    for character in rest.by_ref() {
        if ('@'..='~').contains(&character) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Language;
    use remotelab_protocol::event::Message;

    fn viewer() -> Viewer {
        Viewer {
            language: Language::English,
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: jiff::tz::TimeZone::UTC,
        }
    }

    fn call(name: &str, input: &str) -> Event {
        Event::new(Known::ToolUse { tool_name: name.into(), tool_input: input.into() }, 0)
    }

    fn answer(output: &str, exit_code: i32) -> Event {
        Event::new(Known::ToolResult { tool_name: "bash".into(), output: output.into(), exit_code }, 0)
    }

    #[test]
    fn results_join_their_calls() {
        let events = [
            call("bash", "ls"),
            call("bash", "false"),
            answer("\u{1b}[31mno\u{1b}[0m\r\n", 1),
            answer("a", 0),
        ];
        let tool = |input: &str, output: &str, failed, word: &str| Step::Tool {
            name: "bash".into(),
            gist: input.into(),
            input: input.into(),
            result: Some(ToolResult { output: output.into(), failed, word: word.into() }),
        };
        assert_eq!(
            Steps::of(&events, &|_, text| text.to_owned(), &viewer()).steps,
            [tool("ls", "a", false, "done"), tool("false", "no\n", true, "exit 1")]
        );
    }

    #[test]
    fn says_what_it_is_doing() {
        let words = Language::English.words();
        let said = Event::message(Role::Assistant, Message { content: "x".into(), ..Message::default() }, 0);
        let cases = [
            (vec![], ("Starting", "")),
            (vec![call("bash", "\n cargo test\n")], ("Running a command", "cargo test")),
            (vec![call("Read", r#"{"file_path":"/a/b.rs","limit":3}"#)], ("Using Read", "/a/b.rs")),
            (vec![call("bash", "x"), answer("", 0)], ("Thinking", "")),
            (vec![said], ("Writing the answer", "")),
        ];
        for (events, (doing_, gist_)) in cases {
            assert_eq!(doing(&events, words), (doing_.to_owned(), gist_.to_owned()));
        }
    }

    #[test]
    fn what_follows_a_turn_is_told_and_cannot_be_stopped() {
        let session = |more: serde_json::Value| -> remotelab_protocol::Session {
            let mut fields = serde_json::json!({"id": "0".repeat(32)});
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(fields).unwrap()
        };
        let told = |session: &remotelab_protocol::Session| {
            Running::of(&Activity::of(None, session), &[], &|_, text| text.to_owned(), &viewer())
                .map(|running| (running.doing, running.can_stop))
        };
        let run = remotelab_protocol::RunId::random();
        let reviewed =
            serde_json::json!({"afterTurn": {"runId": run, "helperRunId": null, "wants": {"review": true}}});
        assert_eq!(told(&session(serde_json::json!({}))), None);
        assert_eq!(told(&session(reviewed)), Some(("Checking the answer".to_owned(), false)));
        let mut compacted = session(serde_json::json!({}));
        compacted.compaction = Some(remotelab_protocol::pending::Compaction {
            session_id: compacted.id.clone(),
            request_id: "c".to_owned(),
            through_seq: 1,
            messages: 1,
            automatic: false,
            started_at: String::new(),
        });
        assert_eq!(told(&compacted), Some(("Summarising the conversation".to_owned(), false)));
    }

    #[test]
    fn long_output_is_cut_and_control_characters_go() {
        let text = shown(&"é".repeat(LONGEST_TEXT));
        assert!(text.len() <= LONGEST_TEXT + 8 && text.ends_with("\n…"));
        assert_eq!(shown("a\u{7}b\u{1b}]c\u{1b}[1;32md\re"), "abcd\ne");
    }
}
