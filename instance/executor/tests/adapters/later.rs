//! The executors that came later: OpenCode, Gemini, GitHub Copilot and Cline.

use super::*;

fn built_in(id: &str, name: &str) -> Tool {
    Tool { id: id.into(), name: name.into(), builtin: true, ..Tool::default() }
}

fn opencode() -> Tool {
    built_in("opencode", "OpenCode")
}

fn gemini() -> Tool {
    built_in("gemini", "Gemini CLI")
}

fn copilot() -> Tool {
    built_in("copilot", "GitHub Copilot")
}

fn cline() -> Tool {
    built_in("cline", "Cline")
}

fn told(tool: &Tool, name: &str, code: i32) -> Told {
    read(tool, fixture(name).lines(), &exited(code))
}

/// A run that printed nothing on standard output and this on standard error.
fn complained(tool: &Tool, lines: &str, code: i32) -> Told {
    let mut adapter = Adapter::for_tool(tool);
    let mut told = Told::default();
    for line in lines.lines() {
        told.add(adapter.line(Stream::Stderr, line));
    }
    told.add(adapter.finish(&exited(code)));
    told
}

fn failed(reason: &str) -> Told {
    Told { failure: Some(reason.into()), ..Told::default() }
}

fn say_hello(command: &str) -> String {
    format!("{{\n  \"command\": \"{command}\",\n  \"description\": \"Say hello\"\n}}")
}

fn usage(context: Option<u64>, input: u64, output: u64) -> Known {
    Known::Usage(Usage {
        context_tokens: context,
        input_tokens: Some(input),
        output_tokens: Some(output),
        context_window_tokens: None,
        context_source: context.map(|_| "provider_turn_usage".into()),
    })
}

#[test]
fn opencode_runs_a_command() {
    let session = "ses_dfcdf528bffegmrlSzS23C1VBj";
    let begun = status(&format!("Session started ({session})"));
    assert_eq!(
        told(&opencode(), "opencode-tool.jsonl", 0),
        Told {
            events: vec![
                begun.clone(),
                thinks("Let me see"),
                uses("bash", &say_hello("echo hello-from-tool")),
                gets("bash", "hello-from-tool\n", 0),
                says("All done: **hello**"),
                usage(Some(100), 200, 40),
                status("completed"),
            ],
            resume_ids: vec![session.into()],
            context: Some((100, None)),
            ..Told::default()
        }
    );
    assert_eq!(
        told(&opencode(), "opencode-resume.jsonl", 0),
        Told {
            events: vec![begun, says("You said: and again"), usage(Some(100), 100, 20), status("completed"),],
            resume_ids: vec![session.into()],
            context: Some((100, None)),
            ..Told::default()
        }
    );
    let events = told(&opencode(), "opencode-exit3.jsonl", 0).events;
    assert!(events.contains(&gets("bash", "oops\n", 3)), "{events:?}");
}

#[test]
fn opencode_says_why_it_failed() {
    assert_eq!(
        told(&opencode(), "opencode-401.jsonl", 1),
        failed("OpenCode is not signed in: invalid key (HTTP 401)")
    );
    assert_eq!(
        complained(&opencode(), "\u{1b}[91m\u{1b}[1mError: \u{1b}[0mSession not found", 1),
        Told {
            resume_lost: true,
            ..failed(
                "OpenCode no longer has this conversation; send the message again to start a fresh one: \
                 Error: Session not found"
            )
        }
    );
}

#[test]
fn gemini_runs_a_command() {
    let session = "ca54e7fb-14c1-49ac-bfd5-a2964e7aef15";
    let begun = status(&format!("Session started ({session})"));
    assert_eq!(
        told(&gemini(), "gemini-tool.jsonl", 0),
        Told {
            events: vec![
                begun.clone(),
                uses("run_shell_command", &say_hello("echo hello-from-tool")),
                gets("run_shell_command", "hello-from-tool", 0),
                says("All done: **hello**"),
                usage(None, 300, 60),
                status("completed"),
            ],
            resume_ids: vec![session.into()],
            ..Told::default()
        }
    );
    assert_eq!(
        told(&gemini(), "gemini-resume.jsonl", 0).events,
        [begun, says("You said: and again"), usage(None, 100, 20), status("completed")]
    );
}

#[test]
fn gemini_writes_in_pieces() {
    let text = fixture("gemini-pieces.jsonl");
    let whole = told(&gemini(), "gemini-pieces.jsonl", 0).events;
    let messages: Vec<_> = whole.iter().filter(|event| matches!(event, Known::Message(_))).collect();
    assert_eq!(messages, [&says("All done: **hello**")]);

    // Stopped in the middle of the answer.
    let stopped = RunResult { cancelled: true, exit_code: None, ..exited(0) };
    let lines: Vec<_> = text.lines().collect();
    let cut = read(&gemini(), lines[..5].iter().copied(), &stopped);
    assert_eq!(cut.events.last(), Some(&says("All ")));
    assert_eq!(cut.failure, None);
}

#[test]
fn gemini_says_why_it_failed() {
    let refused = told(&gemini(), "gemini-401.jsonl", 145);
    assert_eq!(refused.failure.as_deref(), Some("Gemini CLI is not signed in: invalid key (HTTP 401)"));
    assert_eq!(
        complained(
            &gemini(),
            "YOLO mode is enabled. All tool calls will be automatically approved.\n\
             Please set an Auth method in your /home/owner/.gemini/settings.json or specify one of the following \
             environment variables before running: GEMINI_API_KEY, GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_GENAI_USE_GCA",
            41
        ),
        failed(
            "Gemini CLI is not signed in: Please set an Auth method in your /home/owner/.gemini/settings.json or \
             specify one of the following environment variables before running: GEMINI_API_KEY, \
             GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_GENAI_USE_GCA"
        )
    );
    let lost = complained(
        &gemini(),
        "Error resuming session: Invalid session identifier \"ca54e7fb-14c1-49ac-bfd5-a2964e7aef00\".\n  \
         Searched for sessions in /home/owner/.gemini/tmp/work/chats.\n  \
         Use --list-sessions to see available sessions, then use --resume {number}, --resume {uuid}, or --resume latest.",
        42,
    );
    assert!(lost.resume_lost, "{lost:?}");
}

#[test]
fn copilot_runs_a_command() {
    let session = "3de35619-7414-466d-9e7c-9cf395cc4d18";
    assert_eq!(
        told(&copilot(), "copilot-tool.jsonl", 0),
        Told {
            events: vec![
                status("thinking"),
                thinks("Let me see"),
                uses("bash", &say_hello("echo hello-from-tool")),
                gets("bash", "hello-from-tool\n<shellId: 0 completed with exit code 0>", 0),
                says("All done: **hello**"),
                Known::Usage(Usage {
                    context_tokens: Some(10829),
                    context_window_tokens: Some(128_000),
                    ..Usage::default()
                }),
                status("completed"),
            ],
            resume_ids: vec![session.into()],
            context: Some((10829, Some(128_000))),
            ..Told::default()
        }
    );
    assert_eq!(
        told(&copilot(), "copilot-resume.jsonl", 0),
        Told {
            events: vec![status("thinking"), says("You said: and again"), status("completed")],
            resume_ids: vec![session.into()],
            ..Told::default()
        }
    );
    let events = told(&copilot(), "copilot-exit3.jsonl", 0).events;
    assert!(events.contains(&gets("bash", "oops\n<shellId: 0 completed with exit code 3>", 3)), "{events:?}");
}

#[test]
fn copilot_says_why_it_failed() {
    assert_eq!(
        told(&copilot(), "copilot-401.jsonl", 1),
        Told {
            events: vec![status("thinking")],
            ..failed(
                "GitHub Copilot is not signed in: Authentication failed with provider at http://127.0.0.1:9999 \
                 (HTTP 401). Check your COPILOT_PROVIDER_API_KEY, COPILOT_PROVIDER_API_KEY_COMMAND, or \
                 COPILOT_PROVIDER_BEARER_TOKEN."
            )
        }
    );
    assert_eq!(
        complained(
            &copilot(),
            "Error: No authentication information found.\n\n\
             Copilot can be authenticated with GitHub using an OAuth Token or a Fine-Grained Personal Access Token.",
            1
        ),
        failed("GitHub Copilot is not signed in: Error: No authentication information found.")
    );
    let lost = complained(
        &copilot(),
        "Error: No session, task, or name matched '3de35619'.\n\nTo resume by name:  copilot --resume=<name>",
        1,
    );
    assert!(lost.resume_lost, "{lost:?}");
}

#[test]
fn cline_runs_a_command() {
    let commands = |command: &str| format!("{{\n  \"commands\": [\n    \"{command}\"\n  ]\n}}");
    assert_eq!(
        told(&cline(), "cline-tool.jsonl", 0),
        Told {
            events: vec![
                status("thinking"),
                uses("run_commands", &commands("echo hello-from-tool")),
                gets("run_commands", "hello-from-tool\n", 0),
                says("All done: **hello**"),
                usage(Some(100), 200, 40),
                status("completed"),
            ],
            context: Some((100, None)),
            ..Told::default()
        }
    );
    let events = told(&cline(), "cline-exit3.jsonl", 0).events;
    assert!(events.contains(&gets("run_commands", "[Command exited with code 3]\noops\n", 1)), "{events:?}");
}

#[test]
fn cline_says_why_it_failed() {
    assert_eq!(
        told(&cline(), "cline-401.jsonl", 1),
        Told {
            events: vec![status("thinking")],
            ..failed("Cline is not signed in: authentication failed: invalid key")
        }
    );
    let unreachable = told(&cline(), "cline-unreachable.jsonl", 1).failure.unwrap();
    assert!(
        unreachable.starts_with("Cline could not reach its model over the network: Cannot connect to API"),
        "{unreachable}"
    );
}

#[test]
fn an_executor_that_says_nothing_has_failed() {
    for tool in [opencode(), gemini(), copilot(), cline()] {
        let silent = read(&tool, [], &exited(0));
        let name = if tool.id == "gemini" { "Gemini CLI" } else { &tool.name };
        let reason =
            format!("{name} ended without an answer (Provider exited without emitting structured events)");
        assert_eq!(silent, failed(&reason), "{}", tool.id);
    }
}

fn any_tool() -> impl Strategy<Value = Tool> {
    prop_oneof![Just(opencode()), Just(gemini()), Just(copilot()), Just(cline())]
}

fn any_line() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just("text"),
        Just("tool_use"),
        Just("step_finish"),
        Just("error"),
        Just("message"),
        Just("tool_result"),
        Just("result"),
        Just("init"),
        Just("assistant.message"),
        Just("tool.execution_start"),
        Just("tool.execution_complete"),
        Just("session.error"),
        Just("agent_event"),
        Just("run_result"),
    ];
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("-7".to_owned()),
        Just("1e300".to_owned()),
        Just("true".to_owned()),
        Just("[[]]".to_owned()),
        "\"[a-z ]{0,6}\"",
        Just("\"assistant\"".to_owned()),
        Just(
            r#"{"type":"content_start","contentType":"text","accumulated":"a","text":"b","reason":"stop"}"#
                .to_owned()
        ),
        Just(
            r#"{"type":"content_end","contentType":"tool","output":[{"result":3}],"toolCallId":"x"}"#
                .to_owned()
        ),
        Just(
            r#"{"tokens":{"input":18446744073709551615,"cache":{"read":9}},"message":"m","content":"c"}"#
                .to_owned()
        ),
    ];
    let fields = prop_oneof![
        Just("part"),
        Just("data"),
        Just("event"),
        Just("error"),
        Just("role"),
        Just("content"),
        Just("status"),
        Just("delta"),
        Just("text"),
        Just("stats"),
        Just("sessionID"),
        Just("exitCode"),
        Just("finishReason"),
    ];
    (kinds, proptest::collection::vec((fields, value), 0..5)).prop_map(|(kind, fields)| {
        let fields: String = fields.iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        format!("{{\"type\":\"{kind}\"{fields}}}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_lines_are_read_alike_by_one_adapter_and_by_a_copy(
        tool in any_tool(),
        lines in proptest::collection::vec(prop_oneof![any_line(), "\\PC{0,40}"], 0..12),
        cut in 0usize..12,
        code in 0..2,
    ) {
        let whole = read(&tool, lines.iter().map(String::as_str), &exited(code));
        let mut first = Adapter::for_tool(&tool);
        let mut parts = Told::default();
        let (before, after) = lines.split_at(cut.min(lines.len()));
        for line in before {
            parts.add(first.line(Stream::Stdout, line));
        }
        let mut second = first.clone();
        for line in after {
            parts.add(second.line(Stream::Stdout, line));
        }
        parts.add(second.finish(&exited(code)));
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_part_of_a_real_run_is_read(
        tool in any_tool(),
        name in prop_oneof![
            Just("opencode-tool.jsonl"), Just("gemini-pieces.jsonl"), Just("copilot-tool.jsonl"),
            Just("cline-exit3.jsonl"),
        ],
        skip in 0usize..50,
        take in 0usize..50,
    ) {
        let text = fixture(name);
        let told = read(&tool, text.lines().skip(skip).take(take), &exited(1));
        prop_assert!(told.failure.is_some());
    }
}
