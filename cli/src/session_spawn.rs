//! `remotelab session-spawn`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use remotelab_client::{Delegate, Delegated};
use serde_json::{Map, Value};

use crate::output;
use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{self, Common, Failure, Kind, words};

/// Start a session beside this one, with a task of its own.
///
/// Inside a run, the source is the session of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What it is to do; `-` is standard input.
    #[arg(long, required_unless_present = "task_file")]
    task: Option<String>,
    /// The file that holds the task.
    #[arg(long, value_name = "PATH", conflicts_with = "task")]
    task_file: Option<PathBuf>,
    /// The session it starts from; by default that of the run.
    #[arg(long, value_name = "ID")]
    source_session: Option<String>,
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// Its executor; by default that of the source.
    #[arg(long)]
    tool: Option<String>,
    /// Its model; by default that of the source, if the executor is the same.
    #[arg(long)]
    model: Option<String>,
    /// Its effort; by default that of the source, if the executor is the same.
    #[arg(long)]
    effort: Option<String>,
    /// Where it works; by default where the source does.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// A key: the same task twice with one key starts one session.
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
    /// Hide it: it is in no list and the source is not told.
    #[arg(long)]
    internal: bool,
    /// Wait until it has ended and its reply is `settled`, reviewed and repaired, or only for its `run`.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "settled")]
    wait: Option<Until>,
    #[command(flatten)]
    patience: Patience,
    /// What is printed: `default`, or `final-only` for the reply alone, which needs `--wait`.
    #[arg(long, value_name = "MODE", value_enum, ignore_case = true, default_value = "default")]
    output_mode: Mode,
    /// Wait and print the reply alone.
    #[arg(long)]
    final_only: bool,
    #[command(flatten)]
    common: Common,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Default,
    FinalOnly,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    verb::run(&arguments.common, async |caller| {
        let deadline = arguments.patience.deadline();
        let final_only = arguments.final_only || arguments.output_mode == Mode::FinalOnly;
        let wait = arguments.wait.or(arguments.final_only.then(Until::default));
        if final_only && wait.is_none() {
            return Err(Failure::usage("--output-mode final-only requires --wait"));
        }
        let source = caller.session(arguments.source_session.as_deref()).ok_or_else(|| {
            Failure::usage(
                "No source session id provided. Pass --source-session or set REMOTELAB_SESSION_ID.",
            )
        })?;
        let request = Delegate {
            task: task(arguments)?,
            request_id: arguments.request_id.clone().unwrap_or_else(|| verb::request_id("spawn")),
            name: arguments.name.clone(),
            tool: arguments.tool.clone(),
            model: arguments.model.clone(),
            effort: arguments.effort.clone(),
            folder: arguments.folder.as_deref().map(folder).transpose()?,
            internal: arguments.internal,
        };
        let child = caller.patiently(async || caller.instance.delegate(&source, &request).await).await?;
        let mut told = Told::new(&source, &request.task, &child);
        let outcome = match (&child.run, wait) {
            (_, None) => None,
            (Some(run), Some(until)) => Some(Outcome::of(caller, &run.id, until, deadline).await),
            (None, Some(_)) => {
                Some(Err(Failure::new(Kind::Refused, "the session was started without a run")))
            }
        };
        let failure = match outcome {
            None => None,
            Some(Ok(outcome)) => {
                told.ended(&outcome);
                let failure = outcome.failure("Child session run");
                // Whoever has no reply needs the ids to look for what is wrong.
                told.print(final_only && failure.is_none(), arguments.common.json)?;
                return Ok(outcome::finish(failure, arguments.common.json));
            }
            Some(Err(failure)) => Some(failure),
        };
        told.print(false, arguments.common.json)?;
        failure.map_or(Ok(ExitCode::SUCCESS), Err)
    })
}

fn task(arguments: &Arguments) -> Result<String, Failure> {
    let text = match (&arguments.task, &arguments.task_file) {
        (Some(text), _) => words::given("--task", text.clone())?,
        (None, Some(path)) => words::from_file("--task-file", path)?,
        (None, None) => String::new(),
    };
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err(Failure::usage("--task is required"));
    }
    Ok(text)
}

/// A folder as the server finds it, which works elsewhere.
fn folder(path: &Path) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let absolute = if path.starts_with("~") {
        path.to_owned()
    } else {
        std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?
    };
    absolute.into_os_string().into_string().map_err(|_| wrong("the name is not UTF-8"))
}

/// What is printed about the child.
struct Told(Map<String, Value>);

impl Told {
    fn new(source: &str, task: &str, child: &Delegated) -> Self {
        let session = child.session.id.as_str();
        let run = child.run.as_ref().map(|run| run.id.to_string()).unwrap_or_default();
        let fields = [
            ("sourceSessionId", source.to_owned()),
            ("task", task.to_owned()),
            ("sessionId", session.to_owned()),
            ("sessionName", child.session.name.clone()),
            ("runId", run),
            ("sessionUrl", verb::session_url(session)),
        ];
        Self(fields.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.0.insert("state".into(), outcome.state().into());
        self.0.insert("reply".into(), outcome.reply.as_str().into());
        if let Some(run) = &outcome.settled_run {
            self.0.insert("settledRunId".into(), run.as_str().into());
        }
        if outcome.timed_out {
            self.0.insert("timedOut".into(), true.into());
        }
    }

    fn print(&self, final_only: bool, as_json: bool) -> anyhow::Result<()> {
        let text = |key: &str| self.0.get(key).and_then(Value::as_str).unwrap_or_default();
        match (final_only, as_json) {
            (true, true) => {
                let keys = self.0.iter().filter(|(key, _)| matches!(key.as_str(), "state" | "reply"));
                output::json(&keys.collect::<std::collections::BTreeMap<_, _>>())
            }
            (true, false) => output::line(text("reply")),
            (false, true) => output::json(&self.0),
            (false, false) => {
                let mut lines: String = ["sessionId", "runId", "sessionUrl"]
                    .map(|key| format!("{key}: {}\n", text(key)))
                    .concat();
                if !text("reply").is_empty() {
                    lines.push_str(&format!("\n{}\n", text("reply")));
                }
                output::text(&lines)
            }
        }
    }
}
