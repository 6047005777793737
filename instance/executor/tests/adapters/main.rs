//! What the adapters make of captured runs of the real executors.

mod later;
mod partial;

use std::path::Path;

use proptest::prelude::*;
use remotelab_executor::{Adapter, Parsed, Stream};
use remotelab_protocol::event::{Known, Message, Usage};
use remotelab_protocol::run::RunResult;
use remotelab_protocol::tool::{RuntimeFamily, Tool};

fn codex() -> Tool {
    Tool {
        id: "codex".into(),
        name: "CodeX".into(),
        runtime_family: Some(RuntimeFamily::CodexJson),
        builtin: true,
        ..Tool::default()
    }
}

fn claude() -> Tool {
    Tool {
        id: "claude".into(),
        name: "Claude Code".into(),
        runtime_family: Some(RuntimeFamily::ClaudeStreamJson),
        builtin: true,
        ..Tool::default()
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

/// What a whole run came to.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<Known>,
    resume_ids: Vec<String>,
    context: Option<(u64, Option<u64>)>,
    failure: Option<String>,
    resume_lost: bool,
}

impl Told {
    fn add(&mut self, parsed: Parsed) {
        self.events.extend(parsed.events);
        self.resume_ids.extend(parsed.resume_id);
        if let Some(tokens) = parsed.context_tokens {
            self.context = Some((tokens, parsed.context_window_tokens));
        }
        self.failure = parsed.failure.or(self.failure.take());
        self.resume_lost |= parsed.resume_lost;
    }
}

fn read<'a>(tool: &Tool, lines: impl IntoIterator<Item = &'a str>, result: &RunResult) -> Told {
    let mut adapter = Adapter::for_tool(tool);
    let mut told = Told::default();
    for line in lines {
        told.add(adapter.line(Stream::Stdout, line));
    }
    told.add(adapter.finish(result));
    told
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn status(content: &str) -> Known {
    Known::Status { content: content.into() }
}

fn says(content: &str) -> Known {
    Known::Message(Box::new(Message { content: content.into(), ..Message::default() }))
}

fn thinks(content: &str) -> Known {
    Known::Reasoning { content: content.into() }
}

fn uses(name: &str, input: &str) -> Known {
    Known::ToolUse { tool_name: name.into(), tool_input: input.into() }
}

fn gets(name: &str, output: &str, exit_code: i32) -> Known {
    Known::ToolResult { tool_name: name.into(), output: output.into(), exit_code }
}

fn unknown_model(model: &str) -> Known {
    status(&format!(
        "Model metadata for `{model}` not found. Defaulting to fallback metadata; this can degrade performance and cause issues."
    ))
}

#[test]
fn runtime_weakness_16_codex_tells_a_command_once() {
    assert_eq!(
        read(&codex(), fixture("codex-tool.jsonl").lines(), &exited(0)),
        Told {
            events: vec![
                status("Thread started (01a20225-54d8-70c2-bf7f-3af68d85d37c)"),
                unknown_model("gpt-mock"),
                status("thinking"),
                thinks("**Thinking** about it"),
                uses("bash", "/bin/bash -lc 'echo hello-from-tool'"),
                gets("bash", "hello-from-tool\n", 0),
                says("All done: **hello**"),
                status("completed"),
            ],
            resume_ids: vec!["01a20225-54d8-70c2-bf7f-3af68d85d37c".into()],
            ..Told::default()
        }
    );
}

#[test]
fn codex_changes_a_file() {
    assert_eq!(
        read(&codex(), fixture("codex-patch.jsonl").lines(), &exited(0)).events,
        [
            status("Thread started (01a20245-183a-7e70-acaa-1a5a0bd79adb)"),
            unknown_model("gpt-5"),
            status("thinking"),
            thinks("**Thinking** about it"),
            Known::FileChange { file_path: "/home/owner/work/hello.txt".into(), change_type: "add".into() },
            says("All done: **hello**"),
            status("completed"),
        ]
    );
}

/// The line of a search has the key `id` twice.
#[test]
fn codex_searches_the_web() {
    assert_eq!(
        read(&codex(), fixture("codex-web.jsonl").lines(), &exited(0)).events[3..],
        [uses("web_search", "weather"), says("All done: **hello**"), status("completed"),]
    );
}

#[test]
fn codex_resumes() {
    let told = read(&codex(), fixture("codex-resume.jsonl").lines(), &exited(0));
    assert_eq!(told.resume_ids, ["01a20245-1d1b-7e33-b938-10410039ac12"]);
    assert_eq!(told.events[2..], [status("thinking"), says("All done: **hello**"), status("completed")]);
}

/// Retries are progress, and the reason is told once: as the failure.
#[test]
fn codex_is_refused() {
    assert_eq!(
        read(&codex(), fixture("codex-401.jsonl").lines(), &exited(1)),
        Told {
            events: vec![
                status("Thread started (01a20245-2758-7c12-8775-e21fedf98dda)"),
                unknown_model("gpt-mock"),
                status("thinking"),
                status("Reconnecting... 1/5"),
                status("Reconnecting... 2/5"),
                status("Reconnecting... 3/5"),
                status("Reconnecting... 4/5"),
                status("Reconnecting... 5/5"),
            ],
            resume_ids: vec!["01a20245-2758-7c12-8775-e21fedf98dda".into()],
            failure: Some(
                "Codex is not signed in: unexpected status 401 Unauthorized: Incorrect API key provided, \
                 url: http://127.0.0.1:18555/v1/responses"
                    .into()
            ),
            ..Told::default()
        }
    );
}

#[test]
fn an_error_that_the_turn_survives_is_an_event() {
    let lines = [
        r#"{"type":"turn.started"}"#,
        r#"{"type":"error","message":"the stream hiccupped"}"#,
        r#"{"type":"turn.completed"}"#,
    ];
    let expected = [status("thinking"), status("error: the stream hiccupped"), status("completed")];
    assert_eq!(read(&codex(), lines, &exited(0)).events, expected);
    let last = read(&codex(), lines[..2].iter().copied(), &exited(0));
    assert_eq!((last.events.as_slice(), last.failure), (&expected[..2], None));
    let died = read(&codex(), lines[..2].iter().copied(), &exited(1));
    assert_eq!(
        (died.events.as_slice(), died.failure.as_deref()),
        (&expected[..1], Some("Codex reported an error: the stream hiccupped"))
    );
}

#[test]
fn codex_tools_and_lists() {
    let lines = [
        r#"{"type":"item.completed","item":{"type":"command_execution","command":"false","aggregated_output":"no","status":"failed"}}"#,
        r#"{"type":"item.completed","item":{"id":"1","type":"mcp_tool_call","server":"s","tool":"t","arguments":{"a":1},"result":{"b":2},"error":null,"status":"completed"}}"#,
        r#"{"type":"item.completed","item":{"id":"2","type":"mcp_tool_call","server":"s","tool":"t","arguments":null,"error":{"message":"boom"},"status":"failed"}}"#,
        r#"{"type":"item.completed","item":{"id":"3","type":"todo_list","items":[{"text":"one","completed":true},{"text":"two"}]}}"#,
        r#"{"type":"item.completed","item":{"id":"4","type":"file_change","status":"failed","changes":[{"path":"/x","kind":"add"}]}}"#,
        r#"{"type":"item.completed","item":{"id":"5","type":"hologram"}}"#,
        r#"{"type":"remotelab.context_metrics","contextTokens":7000,"inputTokens":9000,"outputTokens":300,"contextWindowTokens":6000,"contextSource":"provider_last_token_count"}"#,
        r#"{"type":"from.the.future"}"#,
        "not json noise",
    ];
    let told = read(&codex(), lines, &exited(0));
    let list = Known::Message(Box::new(Message {
        content: "[x] one\n[ ] two".into(),
        message_kind: Some("todo_list".into()),
        ..Message::default()
    }));
    let usage = Known::Usage(Usage {
        context_tokens: Some(7000),
        input_tokens: Some(9000),
        output_tokens: Some(300),
        context_window_tokens: Some(6000),
        context_source: Some("provider_last_token_count".into()),
    });
    assert_eq!(
        told.events,
        [
            uses("bash", "false"),
            gets("bash", "no", 1),
            uses("s/t", r#"{"a":1}"#),
            gets("s/t", r#"{"b":2}"#, 0),
            uses("s/t", "null"),
            gets("s/t", "Error: boom", 1),
            list,
            status("could not change /x"),
            usage,
        ]
    );
    assert_eq!(told.context, Some((7000, Some(6000))));
}

fn claude_usage(tokens: [u64; 3], window: u64) -> Known {
    Known::Usage(Usage {
        context_tokens: Some(tokens[0]),
        input_tokens: Some(tokens[1]),
        output_tokens: Some(tokens[2]),
        context_window_tokens: Some(window),
        context_source: Some("provider_turn_usage".into()),
    })
}

/// A partial message comes again as a whole one; it is told once.
#[test]
fn runtime_weakness_17_claudes_results_bear_the_tools_name() {
    let expected = |session: &str| Told {
        events: vec![
            status(&format!("Session started ({session})")),
            says("Running a command."),
            uses("Bash", "{\n  \"command\": \"echo hello-from-tool\",\n  \"description\": \"say hi\"\n}"),
            gets("Bash", "hello-from-tool", 0),
            says("All done: **hello**"),
            claude_usage([50, 100, 42], 1_000_000),
            status("completed"),
        ],
        resume_ids: vec![session.into()],
        context: Some((50, Some(1_000_000))),
        ..Told::default()
    };
    assert_eq!(
        read(&claude(), fixture("claude-tool.jsonl").lines(), &exited(0)),
        expected("10edf6d8-c666-4667-8557-a998a1411b36")
    );
    assert_eq!(
        read(&claude(), fixture("claude-partial.jsonl").lines(), &exited(0)),
        expected("e0045a17-8ee2-4a76-a755-682a61067e0f")
    );
}

#[test]
fn claude_resumes() {
    let told = read(&claude(), fixture("claude-resume.jsonl").lines(), &exited(0));
    assert_eq!(
        told.events,
        [
            status("Session started (10edf6d8-c666-4667-8557-a998a1411b36)"),
            says("All done: **hello**"),
            claude_usage([50, 50, 12], 200_000),
            status("completed"),
        ]
    );
}

/// Claude Code says so in the model's place; that is no answer.
#[test]
fn claude_is_not_signed_in() {
    assert_eq!(
        read(&claude(), fixture("claude-noauth.jsonl").lines(), &exited(1)),
        Told {
            events: vec![status("Session started (4a4c7edd-2c85-4c1b-942b-e21d4b23b3fa)")],
            resume_ids: vec!["4a4c7edd-2c85-4c1b-942b-e21d4b23b3fa".into()],
            failure: Some("Claude is not signed in: Not logged in · Please run /login".into()),
            ..Told::default()
        }
    );
}

#[test]
fn claude_has_lost_the_conversation() {
    assert_eq!(
        read(&claude(), fixture("claude-badresume.jsonl").lines(), &exited(1)),
        Told {
            failure: Some(
                "Claude no longer has this conversation; send the message again to start a fresh one: \
                 No conversation found with session ID: 00000000-0000-0000-0000-000000000000"
                    .into()
            ),
            resume_lost: true,
            ..Told::default()
        }
    );
}

#[test]
fn claude_helpers_do_not_speak_to_the_person() {
    let lines = [
        r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"a","name":"Task","input":"go"}],"usage":{"input_tokens":5,"cache_read_input_tokens":2}}}"#,
        r#"{"type":"assistant","parent_tool_use_id":"a","message":{"content":[{"type":"text","text":"I look"}],"usage":{"input_tokens":900}}}"#,
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"x"},{"type":"image"}],"is_error":true},{"type":"tool_result","tool_use_id":"?"}]}}"#,
        r#"{"type":"result","result":"the only answer","usage":{"input_tokens":3,"output_tokens":1}}"#,
    ];
    let told = read(&claude(), lines, &exited(0));
    assert_eq!(
        told.events[..6],
        [
            uses("Task", "go"),
            thinks("I look"),
            gets("Task", "x\n[image]", 1),
            gets("tool", "", 0),
            says("the only answer"),
            Known::Usage(Usage {
                context_tokens: Some(7),
                input_tokens: Some(3),
                output_tokens: Some(1),
                context_window_tokens: None,
                context_source: Some("provider_turn_usage".into()),
            }),
        ]
    );
}

/// One sentence for each way to end badly, which a person without the terminal understands; what an
/// engineer looks for stands in brackets.
#[test]
fn runtime_weakness_06_every_bad_end_has_a_sentence() {
    let fake = Tool { builtin: false, id: "fake".into(), name: "Fake".into(), ..codex() };
    let failure = |stderr: &[&str], result: RunResult| {
        let mut adapter = Adapter::for_tool(&fake);
        for line in stderr {
            adapter.line(Stream::Stderr, line);
        }
        adapter.finish(&result).failure
    };
    let signal = |name: &str| RunResult { exit_code: None, signal: Some(name.into()), ..exited(0) };
    let told = |error: &str| RunResult { error: Some(error.into()), ..exited(1) };
    let cases: &[(&[&str], RunResult, &str)] = &[
        (&[], exited(3), "Fake stopped with an error and did not say why (Process exited with code 3)"),
        (&["a", "boom"], exited(3), "Fake stopped with an error: boom (Process exited with code 3)"),
        (&[], signal("SIGSEGV"), "Fake crashed and did not say why (Process exited via signal SIGSEGV)"),
        (
            &[],
            signal("SIGKILL"),
            "Fake was stopped by something on this machine (often for lack of memory) and did not say why \
             (Process exited via signal SIGKILL)",
        ),
        (
            &["Error: connect ECONNREFUSED 127.0.0.1:1", "at main"],
            exited(1),
            "Fake could not reach its model over the network: Error: connect ECONNREFUSED 127.0.0.1:1",
        ),
        (
            &[
                "WARNING: slow network",
                "Error: thread/resume failed: no rollout found for thread id 0199-a (code -32600)",
                "Stack backtrace:",
                "   0: <unknown>",
                "   1: <unknown>",
            ],
            exited(1),
            "Fake no longer has this conversation; send the message again to start a fresh one: \
             Error: thread/resume failed: no rollout found for thread id 0199-a (code -32600)",
        ),
        (
            &["You've hit your usage limit."],
            exited(1),
            "Fake has reached a usage limit of its account: You've hit your usage limit.",
        ),
        (&["HTTP 401"], exited(1), "Fake is not signed in: HTTP 401"),
        (
            &["API Error: Overloaded"],
            exited(1),
            "The model behind Fake is overloaded, try again in a while: API Error: Overloaded",
        ),
        (
            &["error: prompt is too long"],
            exited(1),
            "The conversation is too long for Fake's model: error: prompt is too long",
        ),
        (
            &["The model `gpt-9` does not exist"],
            exited(1),
            "Fake cannot use the chosen model: The model `gpt-9` does not exist",
        ),
        (&[], exited(0), "Fake ended without an answer (Provider exited without emitting structured events)"),
        (
            &["what?"],
            exited(0),
            "Fake ended without an answer: what? (Provider exited without emitting structured events)",
        ),
        (
            &["Please sign in first"],
            exited(0),
            "Fake wants you to sign in first, in a terminal on this machine: Please sign in first \
             (Provider requires interactive login before RemoteLab can use it)",
        ),
        (&[], told("Fake was not found"), "Fake was not found"),
        (
            &["half an answer"],
            told("Detached runner disappeared before writing a result"),
            "The work was cut off, for example by a restart of the machine; send the message again \
             (Detached runner disappeared before writing a result)",
        ),
    ];
    for (stderr, result, expected) in cases {
        assert_eq!(failure(stderr, result.clone()).as_deref(), Some(*expected));
    }
    assert_eq!(failure(&["x"], RunResult { cancelled: true, ..exited(143) }), None);
}

/// A tool of no family promised no structure, so that silence is no failure.
#[test]
fn silence_without_a_family_is_fine() {
    let plain = Tool { runtime_family: None, ..claude() };
    assert_eq!(read(&plain, ["just text"], &exited(0)), Told::default());
}

/// Lines as an executor might print them: real ones, real ones cut or spliced, and noise.
fn any_line() -> impl Strategy<Value = String> {
    let names = [
        "codex-tool.jsonl",
        "codex-web.jsonl",
        "codex-401.jsonl",
        "codex-patch.jsonl",
        "claude-tool.jsonl",
        "claude-noauth.jsonl",
        "claude-partial.jsonl",
    ];
    let real: Vec<String> =
        names.iter().flat_map(|name| fixture(name).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let words = "(type|item|id|message|content|usage|text|result|item.completed|assistant|system|user|error|todo_list|null|0|-1|true)";
    let json = proptest::collection::vec((words, words), 0..5).prop_map(|pairs| {
        let fields: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":\"{value}\"")).collect();
        format!("{{{}}}", fields.join(","))
    });
    let shaped = (words, words, "[\\PC]{0,20}").prop_map(|(kind, field, value)| {
        serde_json::json!({"type": kind, field.clone(): {field: [value]}, "item": {"type": value}})
            .to_string()
    });
    prop_oneof![
        proptest::sample::select(real.clone()),
        (proptest::sample::select(real), any::<proptest::sample::Index>()).prop_map(|(line, at)| {
            let cut = at.index(line.chars().count() + 1);
            line.chars().take(cut).collect()
        }),
        json,
        shaped,
        "\\PC{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing that an executor prints makes an adapter fail, and a second reading gives the same, also
    /// when it goes on from a copy made in the middle.
    #[test]
    fn any_output_is_read_and_read_the_same_again(
        lines in proptest::collection::vec(any_line(), 0..30),
        middle: proptest::sample::Index,
        code in 0..2_i32,
    ) {
        for tool in [codex(), claude()] {
            let whole = read(&tool, lines.iter().map(String::as_str), &exited(code));
            let mut adapter = Adapter::for_tool(&tool);
            let mut told = Told::default();
            let (before, after) = lines.split_at(middle.index(lines.len() + 1));
            before.iter().for_each(|line| told.add(adapter.line(Stream::Stdout, line)));
            let mut adapter = adapter.clone();
            after.iter().for_each(|line| told.add(adapter.line(Stream::Stdout, line)));
            told.add(adapter.finish(&exited(code)));
            prop_assert_eq!(&told, &whole);
            prop_assert_eq!(code == 0 || whole.failure.is_some(), true);
        }
    }
}
