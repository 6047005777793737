use std::collections::BTreeMap;

use remotelab_protocol::run::Options;
use remotelab_protocol::{Attachment, RunId, SessionId};
use serde_json::{Map, json};

use remotelab_config::containment::{Contained, Containment};
use remotelab_config::limits::Limits;

use super::*;

fn tool(id: &str, family: Option<RuntimeFamily>, builtin: bool) -> Tool {
    Tool {
        id: id.into(),
        name: format!("The {id}"),
        command: id.into(),
        runtime_family: family,
        builtin,
        ..Tool::default()
    }
}

fn codex_tool() -> Tool {
    tool("codex", Some(RuntimeFamily::CodexJson), true)
}

fn claude_tool() -> Tool {
    tool("claude", Some(RuntimeFamily::ClaudeStreamJson), true)
}

fn manifest(prompt: &str, options: Options) -> Manifest {
    Manifest {
        id: RunId::parse("run_a10872fb60d7ace1a4c1225d").unwrap(),
        session_id: SessionId::parse("12d04b72795d9cef53d6aa1749cb0af7").unwrap(),
        request_id: "r".into(),
        folder: "~/work".into(),
        tool: "codex".into(),
        prompt: prompt.into(),
        internal_operation: None,
        options,
        rest: Map::new(),
    }
}

fn context() -> Context {
    Context {
        home: "/home/owner".into(),
        search_path: "/usr/bin:/bin".into(),
        program: "/opt/remotelab/bin/remotelab".into(),
        launcher: None,
        codex_home: CodexHome::Managed("/config/codex".into()),
        codex_prompt_prefix: String::new(),
        codex_developer_instructions: Some(String::new()),
        chat_base_url: "http://127.0.0.1:7690".into(),
        is_root: true,
        shell: None,
        contained: None,
        shared_tool: None,
    }
}

#[test]
fn runtime_weakness_20_a_custom_tool_of_a_family_can_go_on() {
    let mut custom = tool("my-codex", Some(RuntimeFamily::CodexJson), false);
    let mut manifest = manifest("p", Options::default());
    manifest.rest.insert(RESUME_FIELD.into(), json!("t-1"));
    let last = |tool: &Tool| launch(tool, None, &manifest, &context()).args.split_off(4);
    assert_eq!((resumes(&custom), last(&custom)), (false, vec!["p".to_owned()]));
    custom.resumes = true;
    let expected = ["resume", "t-1", "p"].map(str::to_owned).to_vec();
    assert_eq!((resumes(&custom), last(&custom)), (true, expected));
    custom.runtime_family = None;
    assert!(!resumes(&custom));
}

#[test]
fn a_call_without_tools_changes_nothing_and_leaves_nothing() {
    let options = Options { without_tools: true, ..Options::default() };
    let call = |tool: &Tool| launch(tool, None, &manifest("p", options.clone()), &context());
    assert_eq!(
        call(&claude_tool()).args,
        [
            "--output-format",
            "stream-json",
            "--verbose",
            "--tools",
            "",
            "--strict-mcp-config",
            "--no-session-persistence",
            "-p"
        ]
    );
    let codex = call(&codex_tool());
    let flags = [
        "exec",
        "--json",
        "--sandbox",
        "read-only",
        "--disable",
        "shell_tool",
        "--ephemeral",
        "--skip-git-repo-check",
        "-",
    ];
    assert_eq!((codex.args, codex.stdin.as_deref()), (flags.map(str::to_owned).to_vec(), Some("p")));
}

#[test]
fn whoever_entered_it_a_program_that_can_do_without_tools_is_known() {
    let custom = |command: &str, family| {
        answers_without_tools(&Tool { command: command.into(), ..tool("mine", family, false) })
    };
    let (codex, claude) = (Some(RuntimeFamily::CodexJson), Some(RuntimeFamily::ClaudeStreamJson));
    assert!(answers_without_tools(&codex_tool()) && answers_without_tools(&claude_tool()));
    assert!(custom("codex", codex) && custom("/opt/bin/claude", claude));
    for (command, family) in [
        ("codex", claude),
        ("claude", None),
        ("/opt/my-codex", codex),
        ("/opt/codex/run", codex),
        ("", codex),
    ] {
        assert!(!custom(command, family), "{command}");
    }
}

fn everything() -> Options {
    Options {
        model: Some("gpt-5".into()),
        effort: Some("low".into()),
        thinking: true,
        codex_thread_id: Some("0199-a".into()),
        claude_session_id: Some("4a4c-b".into()),
        ..Options::default()
    }
}

const CODEX: [&str; 4] =
    ["exec", "--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"];
const CLAUDE: [&str; 4] = ["--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"];

/// Of the built-in Claude alone.
const PARTIAL: &str = "--include-partial-messages";

fn call(tool: &Tool, prompt: &str, options: Options) -> (Vec<String>, Option<String>) {
    let launch = launch(tool, None, &manifest(prompt, options), &context());
    (launch.args, launch.stdin)
}

fn args(head: &[&str], tail: &[&str]) -> Vec<String> {
    head.iter().chain(tail).map(|arg| (*arg).to_owned()).collect()
}

#[test]
fn the_built_in_executors_read_the_prompt_from_standard_input() {
    let prompt = "-secret\0prompt";
    assert_eq!(
        launch(
            &codex_tool(),
            Some("/usr/bin/codex".into()),
            &manifest(prompt, Options::default()),
            &context()
        ),
        Launch {
            tool_name: "Codex".into(),
            program: "/usr/bin/codex".into(),
            args: args(&CODEX, &["-"]),
            folder: "/home/owner/work".into(),
            stdin: Some(prompt.into()),
            codex_home: Some("/config/codex".into()),
            contain: None,
            limits: Limits::default(),
            cgroup: None,
            downloads: Vec::new(),
        }
    );
    assert_eq!(
        call(&codex_tool(), prompt, everything()),
        (
            args(&CODEX, &["-m", "gpt-5", "-c", "model_reasoning_effort=low", "resume", "0199-a", "-"]),
            Some(prompt.into())
        )
    );
    assert_eq!(
        call(&claude_tool(), prompt, everything()),
        (
            args(&CLAUDE, &[PARTIAL, "--model", "gpt-5", "--effort", "low", "--resume", "4a4c-b", "-p"]),
            Some(prompt.into())
        )
    );
}

#[test]
fn runtime_weakness_03_custom_tools_get_the_prompt_last_until_it_is_too_long() {
    let codex = tool("mine", Some(RuntimeFamily::CodexJson), false);
    let claude = tool("mine", Some(RuntimeFamily::ClaudeStreamJson), false);
    let longest = "x".repeat(PROMPT_ARGUMENT_MAX);
    assert_eq!(call(&codex, &longest, Options::default()), (args(&CODEX, &[&longest]), None));
    assert_eq!(
        call(&claude, &longest, everything()),
        (args(&CLAUDE, &["--model", "gpt-5", "--effort", "high", "-p", &longest]), None)
    );
    for too_much in [format!("{longest}x"), "- a list".into(), "a\0b".into(), String::new()] {
        assert_eq!(
            call(&codex, &too_much, Options::default()),
            (args(&CODEX, &["-"]), Some(too_much.clone()))
        );
        assert_eq!(
            call(&claude, &too_much, Options::default()),
            (args(&CLAUDE, &["-p"]), Some(too_much.clone()))
        );
    }
}

#[test]
fn values_from_outside_never_become_flags() {
    let hostile = Options {
        model: Some("--config=evil".into()),
        effort: Some("low; rm".into()),
        codex_thread_id: Some("--last".into()),
        claude_session_id: Some("a b".into()),
        ..Options::default()
    };
    assert_eq!(call(&codex_tool(), "hi", hostile.clone()).0, args(&CODEX, &["-"]));
    assert_eq!(call(&claude_tool(), "hi", hostile).0, args(&CLAUDE, &[PARTIAL, "-p"]));
}

#[test]
fn runtime_weakness_12_developer_instructions_reach_codex_as_a_toml_string() {
    let given = Context {
        codex_developer_instructions: Some("Say \"hi\"\nthen stop".into()),
        codex_prompt_prefix: "PREFIX ".into(),
        ..context()
    };
    let launched = launch(&codex_tool(), None, &manifest("go", Options::default()), &given);
    assert_eq!(
        launched.args,
        args(&CODEX, &["-c", r#"developer_instructions="Say \"hi\"\nthen stop""#, "-"])
    );
    assert_eq!(launched.stdin.as_deref(), Some("PREFIX go"));

    let unset = Context { codex_developer_instructions: None, ..context() };
    let launched = launch(&codex_tool(), None, &manifest("go", Options::default()), &unset);
    assert!(launched.args[5].starts_with("developer_instructions=\"You work for RemoteLab."));
}

#[test]
fn files_stand_before_the_prompt_and_flattening_comes_last() {
    let file = Attachment {
        original_name: Some("a.png".into()),
        mime_type: "image/png".into(),
        saved_path: Some("/data/images/1.png".into()),
        ..Attachment::default()
    };
    let options = Options { images: vec![file, Attachment::default()], ..Options::default() };
    assert_eq!(
        call(&claude_tool(), "look\n at  it", options.clone()).1.as_deref(),
        Some("[User attached image: a.png -> /data/images/1.png]\n\nlook\n at  it")
    );
    let flat = Tool { flatten_prompt: true, ..claude_tool() };
    assert_eq!(
        call(&flat, "look\n at  it", options.clone()).1.as_deref(),
        Some("[User attached image: a.png -> /data/images/1.png] look at it")
    );
    let env = environment(&flat, &manifest("x", options), &Env::default(), &context());
    assert_eq!(
        env.get("REMOTELAB_ATTACHMENT_PATHS"),
        Some(r#"[{"path":"/data/images/1.png","mimeType":"image/png","originalName":"a.png"}]"#)
    );
}

#[test]
fn runtime_weakness_25_the_environment_keeps_secrets_of_the_service_back() {
    let base: Env = [
        ("PATH", "/ignored"),
        ("HOME", "/home/owner"),
        ("ANTHROPIC_API_KEY", "the user's own"),
        ("CLAUDECODE", "1"),
        ("REMOTELAB_USER_SHELL_ENV_B64", "x"),
        ("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", "x"),
        ("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", "x"),
        ("REMOTELAB_CLOUDFLARE_API_TOKEN", "x"),
        ("AGENT_MAILBOX_SMTP_PASSWORD", "x"),
        ("REMOTELAB_CONFIG_DIR", "/config"),
        ("REMOTELAB_RUN_ID", "run_of_an_outer_run"),
        ("REMOTELAB_BIN", "/of/an/outer/run"),
        ("REMOTELAB_PUSH_PROXY", "http://name:password@proxy"),
        ("REMOTELAB_SUPERVISED", "1"),
    ]
    .into_iter()
    .collect();
    let options = Options { env: BTreeMap::from([("EXTRA".into(), "1".into())]), ..Options::default() };
    let env = environment(&codex_tool(), &manifest("x", options), &base, &context());
    let expected: Env = [
        ("PATH", "/usr/bin:/bin:/opt/remotelab/bin"),
        ("HOME", "/home/owner"),
        ("ANTHROPIC_API_KEY", "the user's own"),
        ("REMOTELAB_CONFIG_DIR", "/config"),
        ("REMOTELAB_SESSION_ID", "12d04b72795d9cef53d6aa1749cb0af7"),
        ("REMOTELAB_RUN_ID", "run_a10872fb60d7ace1a4c1225d"),
        ("REMOTELAB_CHAT_BASE_URL", "http://127.0.0.1:7690"),
        ("REMOTELAB_PROJECT_ROOT", "/opt/remotelab/bin"),
        ("REMOTELAB_BIN", "/opt/remotelab/bin/remotelab"),
        ("REMOTELAB_TOOL_ID", "codex"),
        ("REMOTELAB_TOOL_NAME", "The codex"),
        ("REMOTELAB_TOOL_SOURCE", "builtin"),
        ("IS_SANDBOX", "1"),
        ("CODEX_HOME", "/config/codex"),
        ("EXTRA", "1"),
    ]
    .into_iter()
    .collect();
    assert_eq!(env, expected);
}

#[test]
fn a_run_finds_the_program_by_its_launcher() {
    let launcher = Launcher {
        project_root: "/config/program/1".into(),
        bin: "/config/program/1/bin".into(),
        program: "/config/program/bin/remotelab".into(),
    };
    let context = context().with_launcher(Some(launcher));
    let told = |base: &Env| {
        let env = environment(&codex_tool(), &manifest("x", Options::default()), base, &context);
        ["PATH", "REMOTELAB_PROJECT_ROOT", "REMOTELAB_BIN"].map(|key| env.get(key).unwrap().to_owned())
    };
    let path = "/config/program/1/bin:/usr/bin:/bin";
    assert_eq!(told(&Env::default()), [path, "/config/program/1", "/config/program/bin/remotelab"]);
    let given: Env = [("REMOTELAB_PROJECT_ROOT", "/theirs")].into_iter().collect();
    assert_eq!(told(&given)[1], "/theirs");
}

#[test]
fn the_server_is_reached_where_it_listens() {
    for (listener, expected) in [
        ("127.0.0.1:7690", "http://127.0.0.1:7690"),
        ("0.0.0.0:7690", "http://127.0.0.1:7690"),
        ("10.1.2.3:80", "http://10.1.2.3:80"),
        ("[::]:7690", "http://[::1]:7690"),
        ("[fd00::1]:7690", "http://[fd00::1]:7690"),
    ] {
        assert_eq!(base_url(listener.parse().unwrap()), expected);
    }
}

#[test]
fn what_the_login_shell_sets_lies_below_the_servers_own() {
    let shell: Env = [("EDITOR", "vi"), ("LANG", "de"), ("AGENT_MAILBOX_TOKEN", "x")].into_iter().collect();
    let base: Env = [("LANG", "en"), ("HOME", "/home/owner")].into_iter().collect();
    let context = context().with_shell(Some(Arc::new(shell)));
    let env = environment(&codex_tool(), &manifest("x", Options::default()), &base, &context);
    let seen = ["EDITOR", "LANG", "AGENT_MAILBOX_TOKEN"].map(|key| env.get(key));
    assert_eq!(seen, [Some("vi"), Some("en"), None]);
}

#[test]
fn a_shared_tool_knows_its_card_and_its_overlay() {
    let shared = SharedTool {
        folder: "/shared/x".into(),
        card: "/shared/x/TOOL.md".into(),
        overlay: Some("/config/tool-overlays/x.md".into()),
    };
    let context = context().with_shared_tool(Some(shared));
    let mine = tool("x", None, false);
    let env = environment(&mine, &manifest("x", Options::default()), &Env::default(), &context);
    let seen = ["TOOL_SOURCE", "SHARED_TOOL_DIR", "SHARED_TOOL_CARD", "TOOL_OVERLAY"]
        .map(|key| env.get(&format!("REMOTELAB_{key}")));
    assert_eq!(
        seen,
        [Some("shared"), Some("/shared/x"), Some("/shared/x/TOOL.md"), Some("/config/tool-overlays/x.md")]
    );
}

#[test]
fn the_later_built_in_executors_are_called_as_they_want_it() {
    let mut manifest = manifest("-secret", everything());
    manifest.rest.insert(RESUME_FIELD.into(), json!("ses_1"));
    let args = |id: &str| {
        let launch = launch(&tool(id, None, true), None, &manifest, &context());
        assert_eq!(launch.stdin.as_deref(), Some("-secret"), "{id}");
        launch.args.join(" ")
    };
    assert_eq!(
        [args("opencode"), args("gemini"), args("copilot"), args("cline")],
        [
            "run --format json --auto --thinking --model gpt-5 --variant low --session ses_1",
            "--output-format stream-json --yolo --skip-trust --model gpt-5 --resume ses_1",
            "--output-format json --allow-all --no-ask-user --no-color --model gpt-5 --reasoning-effort low \
             --resume=ses_1",
            "--json --model gpt-5 --thinking low Do what the following message asks.",
        ]
    );
    let cline = environment(&tool("cline", None, true), &manifest, &Env::default(), &context());
    assert_eq!(cline.get("CLINE_SESSION_BACKEND_MODE"), Some("local"));
}

#[test]
fn a_conversation_is_resumed_by_a_plain_word_only() {
    let resume = |id: &str, stored: Value| {
        let mut manifest = manifest("x", Options::default());
        manifest.rest.insert(RESUME_FIELD.into(), stored);
        resume_id(&tool(id, None, true), &manifest).map(str::to_owned)
    };
    assert_eq!(resume("gemini", json!("ca54e7fb-14c1")), Some("ca54e7fb-14c1".into()));
    for stored in [json!("--all"), json!("two words"), json!(""), json!(7), Value::Null] {
        assert_eq!(resume("gemini", stored.clone()), None, "{stored}");
    }
    assert_eq!(resume("cline", json!("a")), None);
    assert_eq!(resume("codex", json!("a")), None);
}

#[test]
fn the_demo_is_this_program_with_another_word() {
    let demo = demo::tool(Path::new("/opt/remotelab"));
    assert_eq!(
        launch(&demo, Some("/opt/remotelab".into()), &manifest("hi", everything()), &context()),
        Launch {
            tool_name: "Demo (no AI installed)".into(),
            program: "/opt/remotelab".into(),
            args: vec!["demo-executor".into()],
            folder: "/home/owner/work".into(),
            stdin: Some("hi".into()),
            codex_home: None,
            contain: None,
            limits: Limits::default(),
            cgroup: None,
            downloads: Vec::new(),
        }
    );
}

#[test]
fn a_contained_run_has_homes_of_its_own() {
    let contained = Contained { root: "/g".into(), containment: Containment::default() };
    let context = Context { contained: Some((contained, "/g/config/claude".into())), ..context() };
    let base =
        [("HOME", "/root"), ("TMPDIR", "/tmp"), ("CLAUDE_CONFIG_DIR", "/root/.claude")].into_iter().collect();
    let env = environment(&codex_tool(), &manifest("p", Options::default()), &base, &context);
    for (key, value) in [
        ("HOME", "/g/workspace"),
        ("TMPDIR", "/g/tmp"),
        ("CLAUDE_CODE_TMPDIR", "/g/tmp"),
        ("CLAUDE_CONFIG_DIR", "/g/config/claude"),
        ("CODEX_HOME", "/config/codex"),
    ] {
        assert_eq!(env.get(key), Some(value), "{key}");
    }
}

#[test]
fn a_launch_survives_its_file() {
    let run = tempfile::tempdir().unwrap();
    assert_eq!(Launch::read(run.path()).unwrap(), None);
    let launched = launch(&codex_tool(), None, &manifest("go", everything()), &context());
    launched.write(run.path()).unwrap();
    assert_eq!(Launch::read(run.path()).unwrap(), Some(launched));
    let stored = std::fs::read_to_string(run.path().join("launch.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["program"], json!("codex"));
}
