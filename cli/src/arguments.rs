//! What can be typed after `remotelab`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use remotelab_config::Env;

use crate::failure::Hinted;
use crate::{
    api, assistant_message, completion, doctor, gateway, generate_token, guest_instance, help_run, mail,
    message, restart, runs, session_spawn, set_password, setup, storage, token, trigger, tunnel, up,
    usage_summary, version,
};

/// Hand repetitive digital work to AI executors on your own machine.
///
/// RemoteLab runs a chat server for you and one for each guest, lets strong AI executors such as
/// `codex` and `claude` do the work on this machine, and is reached from a phone, a desktop or by
/// mail. `remotelab up` starts everything.
#[derive(Debug, Parser)]
#[command(name = "remotelab", version, disable_version_flag = true)]
struct Arguments {
    /// Print the version and nothing else.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: (),

    #[command(subcommand)]
    command: Option<Command>,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(setup::Arguments),
    Up(up::Arguments),
    /// Start everything by the service that `remotelab setup` has made.
    Start,
    /// Stop everything. Runs in progress go on and are found again at the next start.
    Stop,
    Restart(restart::Arguments),
    /// Run the chat server of one instance in the foreground.
    ///
    /// It is set by environment variables alone: `CHAT_PORT`, `CHAT_BIND_HOST`,
    /// `REMOTELAB_INSTANCE_ROOT`, `SESSION_EXPIRY`, `SECURE_COOKIES` and the others that the setup guide
    /// lists. It ends on SIGTERM or Ctrl-C; runs in progress go on and are found again at the next
    /// start.
    Chat,
    Gateway(gateway::Arguments),
    /// Set up and run the mailbox.
    #[command(visible_alias = "email")]
    Mail(mail::Arguments),
    /// Create guest instances and hand out links to them.
    #[command(subcommand, visible_alias = "guest-instances")]
    GuestInstance(guest_instance::Command),
    #[command(subcommand)]
    Tunnel(tunnel::Command),
    Api(api::Arguments),
    #[command(visible_alias = "assistant-messages")]
    AssistantMessage(assistant_message::Arguments),
    #[command(visible_alias = "triggers")]
    Trigger(trigger::Arguments),
    #[command(visible_alias = "spawn-session")]
    SessionSpawn(session_spawn::Arguments),
    Message(message::Arguments),
    Run(runs::Arguments),
    Token(token::Arguments),
    Storage(storage::Arguments),
    Doctor(doctor::Arguments),
    UsageSummary(usage_summary::Arguments),
    GenerateToken(generate_token::Arguments),
    SetPassword(set_password::Arguments),
    Completion(completion::Arguments),
    Version(version::Arguments),
    /// Carry out one run, apart from the server that asked for it.
    #[command(hide = true)]
    Runner {
        run_dir: PathBuf,
    },
    /// Answer as the built-in demo executor.
    #[command(hide = true)]
    DemoExecutor,
}

/// The commands that programs call while they work.
const VERBS: &[&str] = &[
    "guest-instance",
    "tunnel",
    "api",
    "assistant-message",
    "trigger",
    "session-spawn",
    "message",
    "run",
    "mail",
    "token",
    "storage",
    "doctor",
    "usage-summary",
    "generate-token",
    "set-password",
    "completion",
    "version",
];

/// What the arguments ask for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Command(Box<Command>),
    /// Help or the version: to be printed, and that is all.
    Text(String),
}

/// Reads the arguments; the first is the program's own name.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, Hinted> {
    let arguments: Vec<OsString> = arguments.collect();
    if let Some(command) = lasting(&arguments) {
        return Ok(Parsed::Command(Box::new(command)));
    }
    if let Some(page) = help_for_runs(&arguments) {
        return Ok(Parsed::Text(page));
    }
    let arguments = join_values(arguments);
    match Arguments::try_parse_from(&arguments) {
        Ok(Arguments { command: Some(command), .. }) => Ok(Parsed::Command(Box::new(command))),
        Ok(Arguments { command: None, .. }) => {
            Ok(Parsed::Text(Arguments::command().render_long_help().to_string()))
        }
        Err(error) => match error.kind() {
            ErrorKind::DisplayVersion => Ok(Parsed::Text(format!("{}\n", env!("CARGO_PKG_VERSION")))),
            ErrorKind::DisplayHelp => Ok(Parsed::Text(error.render().to_string())),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(usage("a subcommand is missing", &arguments))
            }
            _ => Err(usage(first_paragraph(&error), &arguments)),
        },
    }
}

/// The processes of which there may be one for each guest. The definition of all other commands takes them more
/// time and memory than their own start.
fn lasting(arguments: &[OsString]) -> Option<Command> {
    match arguments {
        [_, word] if word == "chat" => Some(Command::Chat),
        [_, word] if word == "gateway" => Some(Command::Gateway(gateway::Arguments::default())),
        _ => None,
    }
}

/// The page of `help run`, which is about all commands that a run may call.
fn help_for_runs(arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["help", "run"] => Some(help_run::text(&Env::of_process())),
        ["help", "run", "--json"] => {
            let page = serde_json::to_string_pretty(&help_run::json(&Env::of_process()));
            page.ok().map(|page| page + "\n")
        }
        _ => None,
    }
}

/// All commands with their flags.
pub(crate) fn definition() -> clap::Command {
    Arguments::command()
}

/// Help on one command, as `--help` prints it.
pub(crate) fn help_of(command: &str) -> String {
    let mut all = Arguments::command();
    all.build();
    let named = all.find_subcommand_mut(command);
    named.map(|command| command.render_long_help().to_string()).unwrap_or_default()
}

/// A mistake in the command line. Scripts tell it from other failures of a verb by the exit code.
fn usage(message: impl Into<String>, arguments: &[OsString]) -> Hinted {
    let hinted = Hinted::new(message, help_for(arguments));
    if verb_of(arguments).is_none() {
        return hinted;
    }
    hinted.with_code(2).in_json(arguments.iter().any(|word| word == "--json"))
}

/// The command that was named, if it is one of those that programs call.
fn verb_of(arguments: &[OsString]) -> Option<clap::Command> {
    let mut all = Arguments::command();
    all.build();
    let named = all.find_subcommand(arguments.get(1)?)?;
    VERBS.contains(&named.get_name()).then(|| named.clone())
}

/// Joins a flag of a verb with its value where that begins with a dash, as texts do that programs pass on.
/// A value that is a flag itself is left alone: then the flag's own value is missing.
fn join_values(arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(verb) = verb_of(&arguments) else { return arguments };
    let flags: Vec<&clap::Arg> =
        verb.get_arguments().chain(verb.get_subcommands().flat_map(clap::Command::get_arguments)).collect();
    let named = |text: &str| {
        let name = text.strip_prefix("--")?;
        flags.iter().find(|flag| {
            flag.get_long() == Some(name) || flag.get_all_aliases().is_some_and(|all| all.contains(&name))
        })
    };
    let is_flag = |text: &str| {
        text == "-h" || text == "--help" || named(text.split('=').next().unwrap_or_default()).is_some()
    };
    let mut joined: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(mut argument) = arguments.next() {
        let takes_value =
            argument.to_str().and_then(named).is_some_and(|flag| flag.get_action().takes_values());
        let value = arguments.next_if(|next| {
            let text = next.to_string_lossy();
            takes_value && text.starts_with('-') && text != "-" && !is_flag(&text)
        });
        if let Some(value) = value {
            argument.push("=");
            argument.push(value);
        }
        joined.push(argument);
    }
    joined
}

/// What is wrong, on one line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

/// Where help is found: the deepest command that was named.
fn help_for(arguments: &[OsString]) -> String {
    let mut path = String::from("remotelab");
    let mut command = &Arguments::command();
    for argument in arguments.iter().skip(1) {
        match command.find_subcommand(argument) {
            Some(named) => command = named,
            None => break,
        }
        path.push(' ');
        path.push_str(command.get_name());
    }
    path.push_str(" --help");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, Hinted> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_version_is_bare() {
        for flag in ["-v", "--version"] {
            let Ok(Parsed::Text(text)) = parsed(&format!("remotelab {flag}")) else {
                panic!("{flag} prints text");
            };
            assert_eq!(text, concat!(env!("CARGO_PKG_VERSION"), "\n"));
        }
    }

    #[test]
    fn a_lasting_process_is_what_its_definition_says() {
        let is_it = |command: &Command, word: &str| match command {
            Command::Chat => word == "chat",
            Command::Gateway(_) => word == "gateway",
            _ => false,
        };
        for word in ["chat", "gateway"] {
            let Ok(Parsed::Command(short)) = parsed(&format!("remotelab {word}")) else {
                panic!("{word} is a command");
            };
            let defined = Arguments::try_parse_from(["remotelab", word]).unwrap().command.unwrap();
            assert!(is_it(&short, word) && is_it(&defined, word), "{word}");
            assert!(matches!(parsed(&format!("remotelab {word} --help")), Ok(Parsed::Text(_))));
        }
    }

    #[test]
    fn mistakes_are_one_line_and_a_hint() {
        let cases = [
            ("remotelab fly", "unrecognized subcommand 'fly'", "remotelab --help"),
            ("remotelab guest-instance", "a subcommand is missing", "remotelab guest-instance --help"),
            (
                "remotelab guest-instance list trial1",
                "unexpected argument 'trial1' found",
                "remotelab guest-instance list --help",
            ),
            (
                "remotelab guest-instance show",
                "the following required arguments were not provided: <NAME>",
                "remotelab guest-instance show --help",
            ),
        ];
        for (line, message, hint) in cases {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint.as_str()), (message, hint));
        }
    }

    #[test]
    fn values_follow_their_flag_either_way() {
        for line in [
            "remotelab guest-instance create demo --port 7800",
            "remotelab guest-instances create demo --port=7800",
        ] {
            let Ok(Parsed::Command(command)) = parsed(line) else {
                panic!("{line} is a command");
            };
            let Command::GuestInstance(command) = *command else {
                panic!("{line} is about guests");
            };
            assert!(matches!(command, guest_instance::Command::Create(_)));
        }
    }
}
