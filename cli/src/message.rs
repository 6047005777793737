//! `remotelab message`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use remotelab_client::{Upload, Waited, media_type};
use remotelab_protocol::wire::PostMessage;
use serde_json::{Value, json};

use crate::output;
use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{self, Caller, Common, Failure, Kind, words};

/// Send messages to sessions.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// One command about messages.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Send(Box<Send>),
}

/// Send a message to a session, as the page does.
///
/// One that is busy takes it up afterwards, together with others that wait.
#[derive(Debug, clap::Args)]
struct Send {
    /// The message; `-` is standard input.
    #[arg(long, required_unless_present = "text_file")]
    text: Option<String>,
    /// The file that holds the message.
    #[arg(long, value_name = "PATH", conflicts_with = "text")]
    text_file: Option<PathBuf>,
    /// A file to send along; may be repeated.
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// The session; by default that of the run.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The executor; by default the session's own.
    #[arg(long)]
    tool: Option<String>,
    /// The model.
    #[arg(long)]
    model: Option<String>,
    /// The effort.
    #[arg(long)]
    effort: Option<String>,
    /// Have the executor think at length.
    #[arg(long)]
    thinking: bool,
    /// A key: the same message twice with one key is sent once.
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
    /// Wait until its run has ended and the reply is `settled`, reviewed and repaired, or only for the `run`.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "settled")]
    wait: Option<Until>,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Command::Send(send) = &arguments.command;
    verb::run(&arguments.common, async |caller| {
        let session = caller.session(send.session.as_deref()).ok_or_else(|| {
            Failure::usage("No session id provided. Pass --session or set REMOTELAB_SESSION_ID.")
        })?;
        let (message, files) = (message(send)?, files(&send.file)?);
        let post = async || caller.instance.post_message(&session, &message, &files).await;
        let accepted = caller.patiently(post).await?;
        let mut told = json!({
            "requestId": accepted.request_id, "duplicate": accepted.duplicate, "queued": accepted.queued,
            "sessionId": session, "runId": accepted.run.map(|run| run.id), "sessionUrl": verb::session_url(&session),
        });
        let failure = match send.wait {
            Some(until) => wait(caller, send, until, &mut told).await.unwrap_or_else(Some),
            None => None,
        };
        if arguments.common.json {
            output::json(&told)?;
        } else {
            output::text(&shown(&told))?;
        }
        Ok(outcome::finish(failure, arguments.common.json))
    })
}

/// Waits for the run of the message, in the queue first, and adds what became of it.
async fn wait(
    caller: &Caller,
    send: &Send,
    until: Until,
    told: &mut Value,
) -> Result<Option<Failure>, Failure> {
    let deadline = send.patience.deadline();
    let text = |told: &Value, key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let (session, request) = (text(told, "sessionId"), text(told, "requestId"));
    let run = match remotelab_protocol::RunId::parse(&text(told, "runId")) {
        Ok(run) => run,
        Err(_) => match caller.instance.wait_in_queue(&session, &request, deadline).await? {
            Waited::Done(run) => run,
            Waited::TimedOut(_) => {
                told["timedOut"] = true.into();
                let message = "Timed out waiting; the message is still queued";
                return Ok(Some(Failure::new(Kind::StillRunning, message)));
            }
        },
    };
    told["runId"] = run.as_str().into();
    let outcome = Outcome::of(caller, &run, until, &send.patience, deadline).await?;
    told["state"] = outcome.state().into();
    told["reply"] = outcome.reply.as_str().into();
    told["settledRunId"] = json!(outcome.settled_run);
    if outcome.timed_out {
        told["timedOut"] = true.into();
    }
    Ok(outcome.failure("The run"))
}

fn message(send: &Send) -> Result<PostMessage, Failure> {
    let text = match (&send.text, &send.text_file) {
        (Some(text), _) => words::given("--text", text.clone())?,
        (None, Some(path)) => words::from_file("--text-file", path)?,
        (None, None) => String::new(),
    };
    if text.trim().is_empty() {
        return Err(Failure::usage("--text is required"));
    }
    Ok(PostMessage {
        text,
        request_id: Some(send.request_id.clone().unwrap_or_else(|| verb::request_id("message"))),
        tool: send.tool.clone(),
        model: send.model.clone(),
        effort: send.effort.clone(),
        thinking: send.thinking.then(|| true.into()),
        ..PostMessage::default()
    })
}

/// Reads every file before anything is sent.
fn files(paths: &[PathBuf]) -> Result<Vec<Upload>, Failure> {
    let mut room = verb::FILES_MAX;
    paths.iter().map(|path| file(path, &mut room)).collect()
}

fn file(path: &Path, room: &mut u64) -> Result<Upload, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let about = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("this is not a file"));
    }
    *room = room.checked_sub(about.len()).ok_or_else(|| wrong("the files are too large for a message"))?;
    let bytes = std::fs::read(path).map_err(|error| wrong(&error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Upload { mime_type: media_type(&name).to_owned(), name, bytes: bytes.into() })
}

fn shown(told: &Value) -> String {
    let line = |key: &str| match &told[key] {
        Value::Null => String::new(),
        Value::String(text) => format!("{key}: {text}\n"),
        value => format!("{key}: {value}\n"),
    };
    let lines = ["sessionId", "requestId", "queued", "runId", "sessionUrl"].map(line).concat();
    match told["reply"].as_str() {
        Some(reply) if !reply.is_empty() => format!("{lines}\n{reply}\n"),
        _ => lines,
    }
}
