//! What people read, recorded: `UPDATE_DOCUMENTS=1 cargo test -p remotelab` writes it anew.

use std::fs;
use std::path::Path;

use crate::home::Home;

const COMMANDS: &[&str] = &[
    "",
    "setup",
    "up",
    "start",
    "stop",
    "restart",
    "chat",
    "gateway",
    "gateway explain",
    "gateway trace",
    "guest-instance",
    "guest-instance create",
    "guest-instance create-trial",
    "guest-instance list",
    "guest-instance links",
    "guest-instance links create",
    "guest-instance links list",
    "guest-instance links revoke",
    "guest-instance show",
    "guest-instance report",
    "guest-instance start",
    "guest-instance stop",
    "guest-instance restart",
    "guest-instance sleep",
    "guest-instance wake",
    "guest-instance limits",
    "guest-instance quota",
    "guest-instance logs",
    "guest-instance rotate-token",
    "guest-instance set-password",
    "guest-instance rename",
    "guest-instance converge",
    "guest-instance delete",
    "guest-instance trash",
    "guest-instance trash list",
    "guest-instance trash restore",
    "guest-instance trash empty",
    "tunnel",
    "tunnel list",
    "tunnel lead",
    "tunnel remove",
    "tunnel point",
    "tunnel reconnect",
    "tunnel doctor",
    "api",
    "assistant-message",
    "trigger",
    "trigger create",
    "trigger list",
    "trigger get",
    "trigger update",
    "trigger run-now",
    "session-spawn",
    "message send",
    "run wait",
    "usage-summary",
    "storage",
    "storage usage",
    "storage prune",
    "doctor",
    "token",
    "token create",
    "token list",
    "token revoke",
    "generate-token",
    "set-password",
    "completion",
    "version",
    "mail",
    "mail serve",
    "mail init",
    "mail status",
    "mail allow",
    "mail allow add",
    "mail outbound configure-smtp",
    "mail automation configure",
    "mail ingest",
    "mail queue",
    "mail outbox",
    "mail approve",
    "mail send",
];

#[test]
fn help_is_the_manual() {
    let home = Home::new();
    let mut manual = String::new();
    for command in COMMANDS {
        manual.push_str(&format!("$ remotelab {command} --help\n").replace("  ", " "));
        manual.push_str(&home.out(&format!("{command} --help")));
        manual.push('\n');
    }
    // Lines end where the terminal does; recorded without one.
    compare("help.txt", &manual);
    assert_eq!(home.out(""), home.out("--help"));
    assert_eq!(home.out("-v"), concat!(env!("CARGO_PKG_VERSION"), "\n"));
    assert!(!home.config().exists(), "asking for help changes nothing");
}

#[test]
fn mistakes_are_answered_in_two_lines() {
    let home = Home::new();
    assert_eq!(home.failure("fly"), "error: unrecognized subcommand 'fly'\ntry: remotelab --help\n");
}

#[test]
fn mistakes_of_programs_have_their_own_exit_code() {
    let home = Home::new();
    home.out("generate-token");
    let mut answers = String::new();
    for line in [
        "api",
        "api GET",
        "api GET api/tools",
        "api FETCH /api/tools",
        "api GET /api/tools --body {}",
        "api POST /api/tools --body {",
        "api POST /api/tools --body-file nowhere",
        "api GET /api/tools --fast",
        "api GET /api/tools --fast --json",
        "api GET /api/tools --base-url",
        "api GET /api/tools --base-url=",
        "api GET /api/tools --wait-run --timeout-ms 15x",
        "assistant-message --text x",
        "assistant-message --session s",
        "assistant-message --session s --text --json",
        "assistant-message --session s --text -",
        "assistant-message --session s --file nowhere",
        "assistant-message --session s --file .",
        "trigger fly",
        "trigger get",
        "trigger get ../sessions",
        "trigger create --text x --session s",
        "trigger create --text x --session s --in 1h --at 2030-01-01",
        "trigger create --text x --session s --in 1.5h",
        "trigger create --text x --session s --at soon",
        "trigger create --text x --session s --at 2020-01-01",
        "trigger create --text x --in 1h",
        "trigger create --session s --in 1h",
        "run",
        "run wait",
        "run wait 1",
        "token",
        "token create",
        "token create --name",
        "token create --name x --scope owner",
        "token create --name x --expires soon",
        "token revoke",
        "usage-summary --days 0",
        "usage-summary --days 3x",
        "usage-summary --source foo",
        "usage-summary --now soon",
        "usage-summary --x",
        "storage",
        "storage prune",
        "storage prune --yes --dry-run",
        "storage prune --yes --what history",
        "storage prune --yes --older-than soon",
        "doctor --fix",
        "generate-token --bogus",
        "generate-token now",
        "set-password",
        "set-password --bogus",
        "mail send --to a@b.c",
        "mail send --to a@b.c --subject s --text x --attach f",
        "session-spawn",
        "session-spawn --task x",
        "session-spawn --task x --source-session s --output-mode weird",
        "session-spawn --task x --source-session s --output-mode final-only",
    ] {
        let output = home.run(line);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{line}");
        assert_eq!(output.status.code(), Some(2), "{line}");
        let said = String::from_utf8_lossy(&output.stderr);
        answers.push_str(&format!("$ remotelab {line}\n{said}\n"));
    }
    compare("verb-mistakes.txt", &answers);
    assert_eq!(home.out("trigger"), home.out("trigger --help"));
}

#[test]
fn a_run_is_told_what_it_may_call() {
    let home = Home::new();
    compare("help-run.txt", &home.out("help run"));
    let data: serde_json::Value = serde_json::from_str(&home.out("help run --json")).unwrap();
    assert_eq!(data["verbs"][0]["verb"], "assistant-message");
    let inside = home.remotelab("help run").env("REMOTELAB_SESSION_ID", "0123").output().unwrap();
    assert!(String::from_utf8(inside.stdout).unwrap().contains("This session: 0123\n"));
    assert!(home.out("help session-spawn").starts_with("Start a session beside this one"));
}

/// Compares with a recorded document.
pub(crate) fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/documents").join(name);
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, text).expect("the document is written");
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, recorded, "{} is not what it was", path.display());
}
