//! `remotelab assistant-message`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use remotelab_client::{AssistantMessage, LocalFile};
use serde_json::Value;

use crate::output;
use crate::verb::{self, Common, Failure, words};

/// Show a message, with files if wanted, in a session.
///
/// No executor is asked. Inside a run, session and run are those of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The text; `-` is standard input.
    #[arg(long)]
    text: Option<String>,
    /// The file that holds the text.
    #[arg(long, value_name = "PATH", conflicts_with = "text")]
    text_file: Option<PathBuf>,
    /// A file to show; may be repeated.
    #[arg(long, value_name = "PATH")]
    file: Vec<String>,
    /// Show pictures as files too.
    #[arg(long)]
    as_file: bool,
    /// The session; by default that of the run.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The run whose words these are; by default the one this is called in.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Who says it.
    #[arg(long, value_name = "TAG", default_value = "assistant_message_command")]
    source: String,
    /// A key: the same message twice with one key is shown once.
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    verb::run(&arguments.common, async |caller| {
        let session = caller.session(arguments.session.as_deref()).ok_or_else(|| {
            Failure::usage("No session id provided. Pass --session or set REMOTELAB_SESSION_ID.")
        })?;
        let text = text(arguments)?.filter(|text| !text.trim().is_empty());
        let attachments = files(&arguments.file, arguments.as_file)?;
        if text.is_none() && attachments.is_empty() {
            return Err(Failure::usage("Provide --text, at least one --file, or both."));
        }
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let message = AssistantMessage {
            text,
            run_id: given(&arguments.run_id).or_else(|| caller.run.clone()),
            source: arguments.source.clone(),
            request_id: given(&arguments.request_id).unwrap_or_else(|| verb::request_id("say")),
            attachments,
        };
        let said = async || caller.instance.say(&session, &message).await;
        let answer = caller.patiently(said).await?;
        if arguments.common.json {
            output::json(&answer)?;
        } else {
            output::text(&shown(&session, &answer["event"]))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn text(arguments: &Arguments) -> Result<Option<String>, Failure> {
    match (&arguments.text, &arguments.text_file) {
        (Some(text), _) => words::given("--text", text.clone()).map(Some),
        (None, Some(path)) => words::from_file("--text-file", path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Checks every file before anything is sent.
fn files(paths: &[String], as_file: bool) -> Result<Vec<LocalFile>, Failure> {
    let given = paths.iter().map(|path| path.trim()).filter(|path| !path.is_empty());
    given.map(|path| file(Path::new(path), as_file)).collect()
}

fn file(path: &Path, as_file: bool) -> Result<LocalFile, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let about = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("this is not a file"));
    }
    let absolute = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    let local_path = absolute.into_os_string().into_string().map_err(|_| wrong("the name is not UTF-8"))?;
    Ok(LocalFile { local_path, render_as: as_file.then(|| "file".to_owned()) })
}

fn shown(session: &str, event: &Value) -> String {
    let mut lines = format!("sessionId: {session}\neventSeq: {}\n", event["seq"]);
    if let Some(text) = event["content"].as_str().filter(|text| !text.is_empty()) {
        lines.push_str(&format!("text: {text}\n"));
    }
    let files = event["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = files.iter().filter_map(|file| file["originalName"].as_str()).collect();
    if !names.is_empty() {
        lines.push_str(&format!("attachments: {}\n", names.join(", ")));
    }
    lines
}
