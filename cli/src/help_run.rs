//! `remotelab help run`: one page for executors about what they may call while they work.

use remotelab_config::Env;
use serde_json::{Value, json};

/// A verb with one command that shows its use. `$REMOTELAB_SESSION_ID` is set in every run.
const VERBS: &[(&str, &str, &str)] = &[
    (
        "show files",
        r#"remotelab assistant-message --text "Chart ready" --file out/chart.png"#,
        "Put a message, with files if wanted, into this session.",
    ),
    ("start work", r#"remotelab session-spawn --task "..." --json"#, "Start a session beside this one."),
    (
        "ask and wait",
        r#"remotelab session-spawn --task "..." --internal --final-only"#,
        "Have something done and print the answer alone.",
    ),
    (
        "go on",
        r#"remotelab message send --session ID --text "...""#,
        "Send a message to a session that was started.",
    ),
    ("wait again", "remotelab run wait <run-id> --json", "Take up a wait that ended too early."),
    (
        "come back",
        r#"remotelab trigger create --in 2h --text "Check the build""#,
        "Get a message at a time; also: trigger list, trigger cancel <id>.",
    ),
    (
        "send mail",
        "remotelab mail send --to a@example.com --subject S --text-file body.txt",
        "Send one mail.",
    ),
    (
        "anything else",
        "remotelab api GET /api/sessions/$REMOTELAB_SESSION_ID/source-context",
        "Send any request to the API; the answer is JSON.",
    ),
];

const COMMON: &str = "--json  --timeout 10m (with a wait)  text or body from stdin: -";
const ONCE: &str = "--request-id ID (assistant-message, message send, session-spawn, trigger create)";

const EXITS: &[(u8, &str)] = &[
    (0, "ok"),
    (1, "refused"),
    (2, "usage"),
    (3, "unreachable"),
    (4, "not allowed"),
    (5, "still running"),
    (6, "failed"),
    (7, "cancelled"),
];

/// Writes the page.
pub(crate) fn text(env: &Env) -> String {
    let session = env.get("REMOTELAB_SESSION_ID").unwrap_or("$REMOTELAB_SESSION_ID");
    let mut page = format!("remotelab - commands for a running task\nThis session: {session}\n\n");
    for (what, example, _) in VERBS {
        page.push_str(&format!("{what:<15}{example}\n"));
    }
    let exits: Vec<String> = EXITS.iter().map(|(code, word)| format!("{code} {word}")).collect();
    page.push_str(&format!("\nCommon: {COMMON}\nOnce:   {ONCE}\nExit: {}\n", exits.join("  ")));
    page.push_str("Not found? \"$REMOTELAB_BIN\" <command>.   More: remotelab help <command>\n");
    page
}

/// The same for programs that call tools.
pub(crate) fn json(env: &Env) -> Value {
    let verbs: Vec<Value> = VERBS
        .iter()
        .map(|(what, example, about)| {
            let words = example.split_whitespace().skip(1);
            let verb: Vec<&str> =
                words.take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')).collect();
            let verb: Vec<&str> = verb.into_iter().take_while(|word| !word.starts_with('-')).collect();
            json!({"verb": verb.join(" "), "use": what, "about": about, "example": example})
        })
        .collect();
    let exits: serde_json::Map<String, Value> =
        EXITS.iter().map(|(code, word)| (code.to_string(), (*word).into())).collect();
    json!({"sessionId": env.get("REMOTELAB_SESSION_ID"), "verbs": verbs, "exitCodes": exits})
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::arguments::{self, Parsed};

    #[test]
    fn the_page_fits_every_terminal_and_every_command_on_it_is_one() {
        let env: Env = [("REMOTELAB_SESSION_ID", "ab".repeat(16))].into_iter().collect();
        let page = text(&env);
        assert!(page.is_ascii() && page.lines().count() <= 40, "{page}");
        assert!(page.lines().all(|line| line.len() <= 100), "{page}");
        let commands: Vec<&str> = page
            .lines()
            .filter_map(|line| line.get(15..))
            .filter(|text| text.starts_with("remotelab "))
            .collect();
        assert_eq!(commands.len(), VERBS.len());
        for command in commands {
            let words = command.replace("<run-id>", "run_a10872fb60d7ace1a4c1225d").replace('"', "");
            // Words in quotes are one argument; none of ours is a flag.
            let mut arguments: Vec<OsString> = Vec::new();
            let mut is_text = false;
            for word in words.split(' ') {
                if is_text && !word.starts_with("--") {
                    continue;
                }
                is_text = false;
                if matches!(word, "--text" | "--task") {
                    arguments.push(format!("{word}=x").into());
                    is_text = true;
                } else {
                    arguments.push(word.into());
                }
            }
            assert!(matches!(arguments::parse(arguments.into_iter()), Ok(Parsed::Command(_))), "{command}");
        }
    }

    /// What the page says of flags is so.
    #[test]
    fn the_flags_on_the_page_are_taken() {
        let verbs = ONCE.split_once('(').and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
        let parsed = |line: String| arguments::parse(line.split(' ').map(OsString::from));
        for verb in verbs.split(", ") {
            let needed = if verb == "trigger create" { " --in 1h" } else { "" };
            let what = if verb == "session-spawn" { "--task" } else { "--text" };
            let line = format!("remotelab {verb}{needed} {what} - --request-id ID --json");
            assert!(matches!(parsed(line), Ok(Parsed::Command(_))), "{verb}");
        }
        for wait in [
            "session-spawn --task x --wait",
            "message send --text x --wait",
            "run wait RUN",
            "api GET /x --wait",
        ] {
            let wait = wait.replace("RUN", "run_a10872fb60d7ace1a4c1225d");
            let line = format!("remotelab {wait} --timeout 10m --json");
            assert!(matches!(parsed(line), Ok(Parsed::Command(_))), "{wait}");
        }
    }

    #[test]
    fn the_same_is_there_as_data() {
        let data = json(&Env::default());
        let verbs: Vec<&str> =
            data["verbs"].as_array().unwrap().iter().map(|verb| verb["verb"].as_str().unwrap()).collect();
        assert_eq!(
            verbs,
            [
                "assistant-message",
                "session-spawn",
                "session-spawn",
                "message send",
                "run wait",
                "trigger create",
                "mail send",
                "api"
            ]
        );
        assert_eq!(data["exitCodes"]["5"], "still running");
    }
}
