//! What an executor is asked about a turn, and what it is told for it.

use std::collections::BTreeMap;

use remotelab_protocol::event::Known;
use remotelab_protocol::pending::{AfterTurn, Wants};
use remotelab_protocol::{Event, Kind, Role, Run, Session};
use remotelab_store::SessionCell;
use remotelab_store::body::cut_middle;
use remotelab_store::history::{Bodies, History};
use serde_json::Value;

use super::scopes;
use crate::app::App;
use crate::context::{Room, told};
use crate::reply::FIRST_SEQ;

/// How far back the message that a turn answers is looked for, in events.
const LOOK_BACK: usize = 5_000;
const USER_CHARS: usize = 3_000;
const REPLY_CHARS: usize = 5_000;
const TOOL_CHARS: usize = 400;
const RESULT_CHARS: usize = 600;
const TURN: Room = Room::of(12_000);
const SUMMARY_CHARS: usize = 900;
const SESSIONS: usize = 12;
const SESSIONS_CHARS: usize = 1_600;

/// Writes the question about a turn. Blocks.
pub(super) fn about(app: &App, cell: &SessionCell, after: &AfterTurn, run: &Run) -> String {
    let (session, latest) = cell.with(|state| (state.session.clone(), state.meta.latest_seq));
    let history = cell.history();
    let last = if after.through_seq == 0 { latest } else { after.through_seq };
    let turn = turn(&history, run, last);
    let labels = after.wants.title || after.wants.group || after.wants.description;
    let projects =
        std::fs::read_to_string(app.settings.paths.memory().join("projects.md")).unwrap_or_default();
    let inputs = Inputs {
        session: &session,
        wants: after.wants,
        summary: &history.context().summary,
        scopes: if labels { scopes::relevant(&projects, &turn, &session.folder) } else { Vec::new() },
        others: if labels { others(app, cell) } else { String::new() },
        turn: &turn,
    };
    inputs.text()
}

struct Inputs<'a> {
    session: &'a Session,
    wants: Wants,
    summary: &'a str,
    scopes: Vec<String>,
    others: String,
    turn: &'a str,
}

impl Inputs<'_> {
    fn text(&self) -> String {
        let session = self.session;
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
        let mut parts = vec![
            "You look at the last turn of a work session and answer with one JSON object and nothing else. Do not \
             work on the task, use no tools, ask nothing. Write its texts in the user's language."
                .to_owned(),
            format!(
                "Session\nfolder: {}\nname: {}\ngroup: {}\ndescription: {}\nsource: {}",
                session.folder,
                session.name,
                known(&session.group),
                known(&session.description),
                session.source_name
            ),
        ];
        let mut add = |heading: &str, text: String| {
            if !text.is_empty() {
                parts.push(format!("{heading}\n{text}"));
            }
        };
        add("Earlier in this session", cut_middle(self.summary.trim(), SUMMARY_CHARS));
        add("Known projects", self.scopes.join("\n"));
        add("Other sessions", self.others.clone());
        if self.wants.task_card {
            let card = session.rest.get("taskCard").map(ToString::to_string).unwrap_or_default();
            add("The task card so far", card);
        }
        add("The last turn", self.turn.to_owned());
        parts.push(format!("Answer with a JSON object with these keys:\n{}", self.keys().join("\n")));
        parts.join("\n\n")
    }

    fn keys(&self) -> Vec<&'static str> {
        let Wants { review, title, group, description, workflow, task_card } = self.wants;
        let keys = [
            (
                title,
                "- \"title\": 2 to 5 words that name the work, literal and short, without the group's name",
            ),
            (group, "- \"group\": 1 to 3 words; take one of the other sessions' groups where it fits"),
            (description, "- \"description\": one sentence about the work"),
            (
                workflow,
                "- \"workflowState\": \"waiting_user\" if the user has to decide or supply something, \"done\" if the work is finished, else \"parked\"\n\
                 - \"workflowPriority\": \"high\", \"medium\" or \"low\"",
            ),
            (
                task_card,
                "- \"taskCard\": an object with \"mode\" (\"task\" or \"project\"), \"summary\", \"goal\" and lists of at most 5 short lines: \
                 \"background\", \"rawMaterials\", \"assumptions\", \"knownConclusions\", \"reusablePatterns\", \"nextSteps\", \"memory\", \
                 \"needsFromUser\"; keep what still holds of the card so far",
            ),
            (
                review,
                "- \"action\": \"continue\" only if the reply leaves undone something that the user asked for and that needs no decision of \
                 the user; else \"accept\"\n- \"reason\": one sentence\n- \"continuationPrompt\": with \"continue\", what is still to be done",
            ),
        ];
        keys.into_iter().filter_map(|(wanted, key)| wanted.then_some(key)).collect()
    }
}

/// Tells a turn in short, failures too: from its user's message, which a run that goes on with what was missing
/// has from another one, to its last event.
fn turn(history: &History, run: &Run, last: u64) -> String {
    let from = run.rest.get(FIRST_SEQ).and_then(Value::as_u64).unwrap_or(last);
    let is_asked = |event: &Event| event.is_message_of(Role::User);
    let asked =
        (1..=from).rev().take(LOOK_BACK).find_map(|seq| history.event(seq, Bodies::Preview).filter(is_asked));
    let first = asked.as_ref().map_or(from, |event| event.seq);
    let of_others = |event: &Event| {
        let own = [Some(run.id.as_str()), asked.as_ref().and_then(|event| event.run_id.as_deref())];
        event.run_id.is_some() && !own.contains(&event.run_id.as_deref())
    };
    told(history, first..=last, TURN, |event| (!of_others(event)).then(|| line(event)).flatten())
}

fn line(event: &Event) -> Option<String> {
    let Kind::Known(known) = &event.kind else { return None };
    Some(match known {
        Known::Message(message) if event.role == Some(Role::User) => {
            format!("[User]\n{}", cut_middle(&message.content, USER_CHARS))
        }
        Known::Message(message) => format!("[Assistant]\n{}", cut_middle(&message.content, REPLY_CHARS)),
        Known::ToolUse { tool_name, tool_input } => {
            format!("[Tool call: {tool_name}]\n{}", cut_middle(tool_input, TOOL_CHARS))
        }
        Known::ToolResult { tool_name, output, exit_code } => {
            format!("[Tool result: {tool_name}, exit {exit_code}]\n{}", cut_middle(output, RESULT_CHARS))
        }
        Known::FileChange { file_path, change_type } => format!("[File change: {change_type}] {file_path}"),
        Known::Status { content } if content.starts_with("error:") => format!("[Status]\n{content}"),
        _ => return None,
    })
}

/// The groups and the latest other sessions of this instance.
fn others(app: &App, own: &SessionCell) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    let mut latest: Vec<(String, String)> = Vec::new();
    for cell in app.store.sessions().into_iter().filter(|cell| cell.id() != own.id()) {
        cell.with(|state| {
            let session = &state.session;
            if session.archived || session.is_hidden() || session.auto_rename_pending {
                return;
            }
            let group = session.group.clone().unwrap_or_else(|| "-".to_owned());
            let about = session.description.as_ref().map(|text| format!(" — {text}")).unwrap_or_default();
            latest.push((session.updated_at.clone(), format!("- [{group}] {}{about}", session.name)));
            *groups.entry(group).or_default() += 1;
        });
    }
    latest.sort_by(|a, b| b.cmp(a));
    let counts: Vec<String> =
        groups.iter().take(30).map(|(group, count)| format!("{group} ({count})")).collect();
    let lines: Vec<String> = latest.into_iter().take(SESSIONS).map(|(_, line)| line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let text = format!("Groups: {}\n{}", counts.join(", "), lines.join("\n"));
    text.chars().take(SESSIONS_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::of_run;
    use remotelab_protocol::RunId;
    use remotelab_protocol::event::Message;
    use serde_json::json;

    fn session() -> Session {
        serde_json::from_value(json!({"id": "0".repeat(32), "folder": "/w", "name": "new session",
            "taskCard": {"goal": "old"}}))
        .unwrap()
    }

    #[test]
    fn only_what_is_wanted_is_asked_and_told() {
        let session = session();
        let wants = Wants { title: true, ..Wants::default() };
        let inputs = Inputs {
            session: &session,
            wants,
            summary: "",
            scopes: vec![],
            others: String::new(),
            turn: "[User]\nhi",
        };
        let text = inputs.text();
        assert!(text.contains("folder: /w") && text.contains("[User]\nhi") && text.contains("\"title\""));
        assert!(!text.contains("taskCard") && !text.contains("action") && !text.contains("Known projects"));
        let all =
            Inputs { wants: Wants { task_card: true, review: true, ..wants }, summary: "before", ..inputs };
        let text = all.text();
        assert!(
            text.contains("{\"goal\":\"old\"}")
                && text.contains("\"action\"")
                && text.contains("Earlier in this session\nbefore")
        );
    }

    fn said(role: Role, text: &str) -> Event {
        Event::message(role, Message { content: text.into(), ..Message::default() }, 0)
    }

    fn run(first_seq: Option<u64>) -> Run {
        let mut fields = json!({"id": RunId::random(), "sessionId": "0".repeat(32), "requestId": "r",
            "state": "completed", "tool": "codex", "createdAt": "", "updatedAt": ""});
        if let Some(seq) = first_seq {
            fields[FIRST_SEQ] = json!(seq);
        }
        serde_json::from_value(fields).unwrap()
    }

    /// Tells a turn of a history that holds these events.
    fn told_of(events: impl IntoIterator<Item = Event>, run: &Run, last: u64) -> String {
        let root = tempfile::tempdir().unwrap();
        let paths = remotelab_config::InstancePaths::below(root.path());
        let store = remotelab_store::Store::open(&paths).unwrap().0;
        let (cell, _) = store.find_or_insert(session());
        let ((), commit) = cell.change(|draft| {
            for event in events {
                draft.append(event);
            }
        });
        commit.wait().unwrap();
        turn(&cell.history(), run, last)
    }

    #[test]
    fn runtime_weakness_24_a_turn_is_told_with_its_failures_and_within_its_limit() {
        let run = run(Some(1));
        let text = told_of(
            [
                said(Role::User, &"u".repeat(9_000)),
                Event::new(Known::Reasoning { content: "hm".into() }, 0),
                Event::new(Known::Status { content: "error: broke".into() }, 0),
                said(Role::Assistant, &"a".repeat(9_000)),
            ],
            &run,
            4,
        );
        assert!(text.contains("[Status]\nerror: broke") && !text.contains("hm"));
        assert!(text.chars().count() < 12_000);
    }

    #[test]
    fn a_long_turn_is_told_from_its_request_to_its_reply_and_no_other_turn_is() {
        let (before, of, next) = (run(Some(1)), run(Some(3)), run(None));
        let events = |of: &Run| {
            let tool = Known::ToolUse { tool_name: "bash".into(), tool_input: "make ".repeat(80) };
            let work = std::iter::repeat_n(of_run(of, Event::new(tool, 0)), 400);
            let mut events = vec![
                of_run(&before, said(Role::User, "the request before")),
                of_run(&before, said(Role::Assistant, "the reply before")),
                of_run(of, said(Role::User, "the request")),
                // Files of the run before that were published late.
                of_run(&before, said(Role::Assistant, "late files")),
            ];
            events.extend(work);
            events.push(of_run(of, said(Role::Assistant, "the reply")));
            events.push(of_run(&next, said(Role::User, "the next request")));
            events
        };
        let text = told_of(events(&of), &of, 405);
        assert!(text.starts_with("[User]\nthe request\n\n[Tool call: bash]"), "{text}");
        assert!(text.ends_with("\n\n[Assistant]\nthe reply"), "{text}");
        assert!(!text.contains("late files"));
    }

    #[test]
    fn a_run_that_goes_on_with_what_was_missing_is_told_with_its_request() {
        let (first, repair) = (run(Some(1)), run(Some(3)));
        let events = [
            of_run(&first, said(Role::User, "the request")),
            of_run(&first, said(Role::Assistant, "half of it")),
            of_run(&repair, said(Role::Assistant, "the other half")),
        ];
        let expected = "[User]\nthe request\n\n[Assistant]\nhalf of it\n\n[Assistant]\nthe other half";
        assert_eq!(told_of(events, &repair, 3), expected);
    }
}
