//! What an executor remembers of a session by itself, and how far that reaches.

use remotelab_executor::command::{self, RESUME_FIELD};
use remotelab_protocol::run::Manifest;
use remotelab_protocol::session::ResumePoint;
use remotelab_protocol::tool::Tool;
use remotelab_protocol::{Run, Session};

/// Returns where a tool goes on in a session; `None` when it begins anew.
pub(crate) fn point(session: &Session, tool: Option<&Tool>) -> Option<ResumePoint> {
    let tool = tool.filter(|tool| command::resumes(tool))?;
    let known = session.resume_points.get(&tool.id);
    let id = match tool.id.as_str() {
        "claude" => session.claude_session_id.as_ref(),
        "codex" => session.codex_thread_id.as_ref(),
        _ => known.map(|point| &point.id),
    };
    let id = id.filter(|id| !id.is_empty())?.clone();
    // Older releases did not note how far it reaches; they went on as if it reached to the end.
    let through_seq = known.filter(|point| point.id == id).map_or(u64::MAX, |point| point.through_seq);
    Some(ResumePoint { id, through_seq })
}

/// Writes into a run's manifest what it is resumed by.
pub(crate) fn note(manifest: &mut Manifest, id: String) {
    match manifest.tool.as_str() {
        "claude" => manifest.options.claude_session_id = Some(id),
        "codex" => manifest.options.codex_thread_id = Some(id),
        _ => {
            manifest.rest.insert(RESUME_FIELD.into(), id.into());
        }
    }
}

/// Keeps what a run can be gone on with; `latest_seq` is the last event that it knows of. Only tools that
/// go on with it leave anything behind. Unless their conversation is `lost`, a turn that failed or was stopped
/// before they told its id leaves it as it was.
pub(crate) fn keep(session: &mut Session, run: &Run, tool: &Tool, lost: bool, latest_seq: u64) {
    if !command::resumes(tool) {
        return;
    }
    let known = match tool.id.as_str() {
        "claude" => run.claude_session_id.clone(),
        "codex" => run.codex_thread_id.clone(),
        _ => run.provider_resume_id.clone(),
    };
    let id = known.filter(|_| !lost);
    if id.is_none() && !lost {
        return;
    }
    match tool.id.as_str() {
        "claude" => session.claude_session_id.clone_from(&id),
        "codex" => session.codex_thread_id.clone_from(&id),
        _ => {}
    }
    match id {
        // An executor that never said its id did not take the turn up.
        Some(id) if run.provider_resume_id.is_some() => {
            session.resume_points.insert(tool.id.clone(), ResumePoint { id, through_seq: latest_seq });
        }
        Some(_) => {}
        None => {
            session.resume_points.remove(&tool.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::tool::RuntimeFamily;
    use serde_json::json;

    fn builtin(id: &str) -> Tool {
        Tool { id: id.into(), builtin: true, ..Tool::default() }
    }

    fn run(tool: &str, said: Option<&str>, codex: Option<&str>) -> Run {
        serde_json::from_value(json!({"id": remotelab_protocol::RunId::random(), "sessionId": "0".repeat(32),
            "requestId": "r", "state": "completed", "tool": tool, "createdAt": "", "updatedAt": "",
            "providerResumeId": said, "codexThreadId": codex}))
        .unwrap()
    }

    fn session() -> Session {
        Session::new("~".into(), "codex".into(), "")
    }

    #[test]
    fn a_thread_is_kept_with_how_far_it_reaches() {
        let mut session = session();
        keep(&mut session, &run("codex", Some("t-1"), Some("t-1")), &builtin("codex"), false, 7);
        assert_eq!(session.codex_thread_id.as_deref(), Some("t-1"));
        assert_eq!(point(&session, Some(&builtin("codex"))).unwrap().through_seq, 7);
        // A turn that it never took up leaves the place as it was.
        keep(&mut session, &run("codex", None, Some("t-1")), &builtin("codex"), false, 9);
        assert_eq!(point(&session, Some(&builtin("codex"))).unwrap().through_seq, 7);
        keep(&mut session, &run("codex", Some("t-1"), Some("t-1")), &builtin("codex"), true, 9);
        assert_eq!((point(&session, Some(&builtin("codex"))), session.codex_thread_id), (None, None));
    }

    #[test]
    fn custom_tools_neither_go_on_nor_take_a_builtin_ones_thread() {
        let mut session = session();
        session.codex_thread_id = Some("t-1".into());
        let custom = Tool { id: "codex".into(), ..Tool::default() };
        keep(&mut session, &run("codex", Some("t-2"), Some("t-2")), &custom, false, 3);
        assert_eq!((session.codex_thread_id.as_deref(), point(&session, Some(&custom))), (Some("t-1"), None));
        // What an older release kept reaches to the end.
        assert_eq!(point(&session, Some(&builtin("codex"))).unwrap().through_seq, u64::MAX);
    }

    #[test]
    fn other_executors_go_on_as_well() {
        let mut session = session();
        keep(&mut session, &run("opencode", Some("ses_1"), None), &builtin("opencode"), false, 3);
        let expected = ResumePoint { id: "ses_1".into(), through_seq: 3 };
        assert_eq!(point(&session, Some(&builtin("opencode"))), Some(expected));
    }

    #[test]
    fn a_turn_without_an_id_leaves_the_conversation_and_only_a_lost_one_is_forgotten() {
        let custom = Tool {
            id: "mine".into(),
            runtime_family: Some(RuntimeFamily::CodexJson),
            resumes: true,
            ..Tool::default()
        };
        for tool in [builtin("opencode"), builtin("gemini"), builtin("copilot"), builtin("codex"), custom] {
            let mut session = session();
            let id = tool.id.as_str();
            keep(&mut session, &run(id, Some("c-1"), Some("c-1")), &tool, false, 3);
            // Stopped, or without a login.
            keep(&mut session, &run(id, None, None), &tool, false, 9);
            let expected = ResumePoint { id: "c-1".into(), through_seq: 3 };
            assert_eq!(point(&session, Some(&tool)), Some(expected), "{id}");
            keep(&mut session, &run(id, None, None), &tool, true, 11);
            assert_eq!(point(&session, Some(&tool)), None, "{id}");
        }
    }
}
