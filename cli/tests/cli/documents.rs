//! What people read, recorded: `UPDATE_DOCUMENTS=1 cargo test -p remotelab` writes it anew.

use std::fs;
use std::path::Path;

use crate::home::Home;

const COMMANDS: &[&str] = &[
    "",
    "up",
    "chat",
    "gateway",
    "guest-instance",
    "guest-instance create",
    "guest-instance create-trial",
    "guest-instance list",
    "guest-instance links",
    "guest-instance show",
    "generate-token",
    "set-password",
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
    let mut answers = String::new();
    for line in [
        "fly",
        "guest-instance",
        "guest-instance fly",
        "guest-instance list trial1",
        "guest-instance create",
        "guest-instance create-trial trial7",
        "guest-instance create x --port 0",
        "guest-instance create x --session-expiry-days 31",
        "guest-instance create x --local-only --hostname a.b",
        "guest-instance create x --username u",
        "guest-instance create owner",
        "guest-instance create ...",
        "guest-instance create x --hostname nodot",
        "guest-instance show nobody",
        "guest-instance links nobody",
        "mail send --to a@b.c",
        "set-password",
    ] {
        answers.push_str(&format!("$ remotelab {line}\n{}\n", home.failure(line)));
    }
    compare("mistakes.txt", &answers);
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
