//! `remotelab assistant-message`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use remotelab_client::{AssistantMessage, LocalFile};
use serde_json::Value;

use crate::output;
use crate::verb::{self, Caller, Common, Failure, words};

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
    /// The name that a file is shown by, for the first, the second and so on.
    #[arg(long, value_name = "NAME", requires = "file")]
    name: Vec<String>,
    /// The media type of a file, for the first, the second and so on, where it does not follow from what is in it.
    #[arg(long, value_name = "TYPE", requires = "file")]
    mime: Vec<String>,
    /// Send the bytes of files also to a server on this machine, which would open them itself.
    #[arg(long)]
    upload: bool,
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
        let attachments = files(arguments)?;
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
        let answer = said(caller, &session, &message, arguments.upload).await?;
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

/// Says it. A server elsewhere, or of another user, cannot open the files and gets their bytes.
async fn said(
    caller: &Caller,
    session: &str,
    message: &AssistantMessage,
    upload: bool,
) -> Result<Value, Failure> {
    let has_files = !message.attachments.is_empty();
    if !has_files || (!upload && caller.instance.is_on_this_machine()) {
        let said = caller.patiently(async || caller.instance.say(session, message).await).await;
        match said {
            Err(failure) if has_files && failure.says("localPath must point to a file") => {}
            said => return said,
        }
    }
    check_room(&message.attachments)?;
    caller.patiently(async || caller.instance.say_with_bytes(session, message).await).await
}

fn check_room(files: &[LocalFile]) -> Result<(), Failure> {
    let mut room = verb::FILES_MAX;
    for file in files {
        let length = std::fs::metadata(&file.local_path).map(|about| about.len()).unwrap_or_default();
        let path = &file.local_path;
        let full = || Failure::usage(format!("{path}: the files are too large to be sent along"));
        room = room.checked_sub(length).ok_or_else(full)?;
    }
    Ok(())
}

/// Checks every file before anything is sent.
fn files(arguments: &Arguments) -> Result<Vec<LocalFile>, Failure> {
    let paths = arguments.file.iter().map(|path| path.trim()).filter(|path| !path.is_empty());
    let mut files: Vec<LocalFile> =
        paths.map(|path| file(Path::new(path), arguments.as_file)).collect::<Result<_, _>>()?;
    for (flag, values) in [("--name", &arguments.name), ("--mime", &arguments.mime)] {
        if values.len() > files.len() {
            return Err(Failure::usage(format!("there are more {flag} than --file")));
        }
    }
    for (file, name) in files.iter_mut().zip(&arguments.name) {
        file.original_name = Some(name.clone());
    }
    for (file, kind) in files.iter_mut().zip(&arguments.mime) {
        file.mime_type = Some(kind.clone());
    }
    Ok(files)
}

fn file(path: &Path, as_file: bool) -> Result<LocalFile, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let about = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("this is not a file"));
    }
    let absolute = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    let local_path = absolute.into_os_string().into_string().map_err(|_| wrong("the name is not UTF-8"))?;
    std::fs::File::open(path).map_err(|error| wrong(&error.to_string()))?;
    Ok(LocalFile { local_path, render_as: as_file.then(|| "file".to_owned()), ..LocalFile::default() })
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
