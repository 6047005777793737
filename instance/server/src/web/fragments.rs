//! Parts of the page that the scripts read again.

use askama::Template;

use super::icons;
use super::view::{Composer, QueueItem, RowState, SessionList, SessionPage, Step, Steps, Timeline};
use super::words::Words;

/// Draws the list, for `ui/sessions`.
#[must_use]
pub fn session_list(list: &SessionList) -> String {
    drawn(&List { list })
}

/// Draws the open session, for `ui/sessions/{id}`.
#[must_use]
pub fn session_view(page: &SessionPage) -> String {
    drawn(&Session { page })
}

/// Draws the page of a new task, for `ui/new`.
#[must_use]
pub fn new_task(composer: &Composer) -> String {
    drawn(&Home { composer })
}

/// Draws earlier entries, for `ui/sessions/{id}/timeline?before=`.
#[must_use]
pub fn timeline(timeline: &Timeline) -> String {
    drawn(&Entries { timeline })
}

/// Draws the text that is being written, for `ui/sessions/{id}/writing`.
#[must_use]
pub fn writing(html: Option<&str>) -> String {
    drawn(&Writing { writing: html })
}

/// Draws the steps of a folded block, for `ui/sessions/{id}/blocks/{a}-{b}`.
#[must_use]
pub fn block(steps: &Steps) -> String {
    drawn(&Block { steps })
}

/// Draws the messages that wait.
#[must_use]
pub fn queue(queue: &[QueueItem], language: super::Language) -> String {
    drawn(&Queue { queue, words: language.words() })
}

fn drawn(template: &impl Template) -> String {
    template.render().expect("writing to a string cannot fail")
}

#[derive(Template)]
#[template(path = "parts/list.html")]
struct List<'a> {
    list: &'a SessionList,
}

#[derive(Template)]
#[template(path = "parts/session.html")]
struct Session<'a> {
    page: &'a SessionPage,
}

#[derive(Template)]
#[template(path = "parts/home.html")]
struct Home<'a> {
    composer: &'a Composer,
}

#[derive(Template)]
#[template(path = "parts/timeline.html")]
struct Entries<'a> {
    timeline: &'a Timeline,
}

#[derive(Template)]
#[template(path = "parts/writing.html")]
struct Writing<'a> {
    writing: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "parts/steps.html")]
struct Block<'a> {
    steps: &'a Steps,
}

#[derive(Template)]
#[template(path = "parts/queue.html")]
struct Queue<'a> {
    queue: &'a [QueueItem],
    words: &'static Words,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Language;
    use crate::web::view::{Running, SessionRow, Viewer};
    use jiff::tz::TimeZone;
    use remotelab_protocol::event::{Known, Message};
    use remotelab_protocol::queue::Queued;
    use remotelab_protocol::session::HistoryMeta;
    use remotelab_protocol::{Activity, Event, Role, RunState, display};
    use serde_json::json;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn viewer(language: Language) -> Viewer {
        Viewer { language, now: "2026-11-22T11:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
    }

    fn session(fields: &serde_json::Value) -> remotelab_protocol::Session {
        let mut value = json!({"id": ID, "name": "Tea & <biscuits>", "tool": "codex", "folder": "~"});
        for (key, field) in fields.as_object().unwrap() {
            value[key] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn event(seq: u64, kind: Known) -> Event {
        Event {
            seq,
            timestamp: 1_795_345_200_000 + i64::try_from(seq).unwrap() * 1000,
            ..Event::new(kind, 0)
        }
    }

    fn said(seq: u64, role: Role, text: &str) -> Event {
        let message = Message { content: text.into(), ..Message::default() };
        Event { role: Some(role), ..event(seq, Known::Message(Box::new(message))) }
    }

    fn failed_turn() -> Vec<Event> {
        let tool = Known::ToolUse { tool_name: "bash".into(), tool_input: "make \"tea\"".into() };
        vec![
            said(1, Role::User, "make <tea>"),
            event(2, tool),
            event(3, Known::Status { content: "error: no \"kettle\"".into() }),
        ]
    }

    fn timeline_of(events: &[Event], language: Language) -> Timeline {
        let entries = display::view(events, false);
        Timeline::of(ID, &entries, false, &|_, text| format!("<p>{text}</p>"), &viewer(language))
    }

    #[test]
    fn a_row_tells_name_time_and_state() {
        let viewer = viewer(Language::English);
        let history = HistoryMeta {
            last_event_at: Some(1_795_344_600_000),
            last_assistant_message_at: Some(1_795_344_500_000),
            ..HistoryMeta::default()
        };
        let idle = Activity::of(None, &session(&json!({})));
        let row = SessionRow::of(&session(&json!({})), &idle, &history, Some(RunState::Failed), &viewer);
        let list = SessionList::of(vec![row], Some(ID), &viewer);
        assert_eq!(
            session_list(&list).trim(),
            format!(
                "<section class=\"list-section\">\n<h2>Today</h2>\n<ul>\n\
                 <li><a class=\"row\" href=\"s/{ID}\" data-session=\"{ID}\" data-answered=\"1795344500000\" \
                 data-state=\"failed\" aria-current=\"page\">\n\
                 <span class=\"row-name\">Tea &#38; &#60;biscuits&#62;</span>\
                 <time class=\"row-time\" datetime=\"2026-11-22T10:50:00.000Z\" data-show=\"ago\">10 min</time>\n\
                 <span class=\"row-state\"><span class=\"dot failed\"></span>failed\
                 <span class=\"row-unread\" hidden><span class=\"dot unread\"></span>new</span></span>\n\
                 </a></li>\n</ul>\n</section>"
            )
        );
    }

    #[test]
    fn an_empty_list_says_so() {
        let list = SessionList::of(Vec::new(), None, &viewer(Language::Chinese));
        assert!(session_list(&list).contains("还没有任务"));
    }

    #[test]
    fn waiting_messages_are_all_listed() {
        let item = Queued {
            request_id: "q\"1".into(),
            text: "<b>also</b> this".into(),
            queued_at: "2026-11-22T10:58:00Z".into(),
            ..Queued::default()
        };
        let viewer = viewer(Language::English);
        let items: Vec<_> = [&item, &item].map(|item| QueueItem::of(item, &viewer)).into();
        let html = queue(&items, Language::English);
        assert!(html.contains("<strong>2 messages wait</strong>"));
        let row = "<li data-request=\"q&#34;1\"><time class=\"quiet\" datetime=\"2026-11-22T10:58:00.000Z\" \
                   data-show=\"clock\">10:58</time><span class=\"queue-text\">&#60;b&#62;also&#60;/b&#62; \
                   this</span></li>";
        assert_eq!(html.matches(row).count(), 2);
        assert_eq!(queue(&[], Language::English).trim(), "");
    }

    #[test]
    fn a_failed_turn_can_be_tried_again() {
        let page = timeline_of(&failed_turn(), Language::English);
        let kinds: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(kinds, ["1-day", "1-user", "2-work", "3-failed"]);
        let html = timeline(&page);
        for part in [
            "<div class=\"bubble\">make &#60;tea&#62;</div>",
            &format!("data-steps=\"ui/sessions/{ID}/blocks/2-2\""),
            "<span>Worked 2 s</span><span class=\"quiet\">1 step · used bash</span>",
            "<p>no &#34;kettle&#34;</p>",
            "name=\"text\" value=\"make &#60;tea&#62;\"",
            "name=\"requestId\" value=\"retry_3\"",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn what_was_done_about_a_turn_is_told_once() {
        let operation = |operation: &str, phase: &str| {
            let fields = json!({"operation": operation, "phase": phase, "title": "t"});
            Known::ContextOperation(fields.as_object().unwrap().clone())
        };
        let status = |text: &str| Known::Status { content: text.to_owned() };
        let kinds = [
            status("Assistant self-check: reviewing the reply"),
            operation("continue_turn", "queued"),
            operation("continue_turn", "skipped"),
            status("Summarising the conversation so far"),
            operation("compact_context", "applied"),
            operation("something_else", "applied"),
        ];
        let mut events = vec![said(1, Role::User, "tea")];
        events.extend((2..).zip(kinds).map(|(seq, kind)| event(seq, kind)));
        let page = timeline_of(&events, Language::English);
        let notes = page.entries.iter().filter(|entry| entry.kind == "note");
        assert_eq!(
            notes.map(|note| note.html.trim()).collect::<Vec<_>>(),
            ["<p class=\"note\">The answer was checked.</p>", "<p class=\"note\">t</p>"]
        );
    }

    #[test]
    fn only_what_changed_has_another_revision() {
        let revisions = |events: &[Event]| -> Vec<String> {
            timeline_of(events, Language::English).entries.into_iter().map(|entry| entry.rev).collect()
        };
        let mut events = failed_turn();
        let before = revisions(&events);
        assert_eq!(before, revisions(&events));
        events.push(said(4, Role::User, "again"));
        let after = revisions(&events);
        assert_eq!(before[..3], after[..3]);
        // The failure is no longer the last thing, so it offers no second try.
        assert_ne!(before[3], after[3]);
    }

    #[test]
    fn a_session_page_holds_transcript_work_queue_and_composer() {
        let viewer = viewer(Language::English);
        let mut activity = Activity::of(
            None,
            &session(&json!({"followUpQueue": [{"requestId": "q", "text": "and cake", "queuedAt": ""}]})),
        );
        "running".clone_into(&mut activity.run.state);
        let work = [event(2, Known::ToolUse { tool_name: "bash".into(), tool_input: "make".into() })];
        let render = |_: u64, text: &str| text.to_owned();
        let running = Running::of(&activity, &work, &render, &viewer);
        let queued = json!({"followUpQueue": [{"requestId": "q", "text": "and cake", "queuedAt": ""}]});
        let timeline = timeline_of(&[said(1, Role::User, "tea")], Language::English);
        let page =
            SessionPage::of(&session(&queued), &activity, timeline, running, Vec::new(), "tok", &viewer);
        let html = session_view(&page);
        for part in [
            "data-state=\"queued\"",
            "<h1>Tea &#38; &#60;biscuits&#62;</h1><p class=\"quiet\">codex · Home folder</p>",
            "<span class=\"doing\">Running a command</span>",
            "<code class=\"gist\">make</code>",
            &format!("action=\"ui/sessions/{ID}/cancel\""),
            "and cake",
            "placeholder=\"Add a follow-up; it waits its turn\"",
            "name=\"formToken\" value=\"tok\"",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains(" style=") && !html.contains(" onclick="));
    }
}
