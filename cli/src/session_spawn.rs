//! `remotelab session-spawn`

use std::path::PathBuf;
use std::process::ExitCode;

use remotelab_client::{Delegate, Delegated};
use serde_json::{Map, Value};

use crate::output;
use crate::verb::outcome::{self, Outcome, Patience};
use crate::verb::{self, Common, Failure, Kind, words};

/// More than this is not handed over, in characters.
const TASK_CHARS: usize = 4_000;

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
    /// Hide it: it is in no list and the source is not told.
    #[arg(long)]
    internal: bool,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
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
        let wait = arguments.wait || arguments.final_only;
        if final_only && !wait {
            return Err(Failure::usage("--output-mode final-only requires --wait"));
        }
        let source = caller.session(arguments.source_session.as_deref()).ok_or_else(|| {
            Failure::usage(
                "No source session id provided. Pass --source-session or set REMOTELAB_SESSION_ID.",
            )
        })?;
        let request = Delegate {
            task: task(arguments)?,
            name: arguments.name.clone(),
            tool: arguments.tool.clone(),
            internal: arguments.internal,
        };
        let child = caller.instance.delegate(&source, &request).await?;
        let mut told = Told::new(&source, &request.task, &child);
        let outcome = match (&child.run, wait) {
            (_, false) => None,
            (Some(run), true) => Some(Outcome::of(caller, &run.id, deadline).await),
            (None, true) => Some(Err(Failure::new(Kind::Refused, "the session was started without a run"))),
        };
        let failure = match outcome {
            None => None,
            Some(Ok(outcome)) => {
                told.ended(&outcome);
                // The ids are all that is left to the caller of a wait that ended too early.
                told.print(final_only && !outcome.timed_out, arguments.common.json)?;
                return Ok(outcome::finish(outcome.failure("Child session run"), arguments.common.json));
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
    if text.chars().count() > TASK_CHARS {
        output::remark(&format!(
            "the task is longer than {TASK_CHARS} characters, and only its beginning is handed over; put the rest into a file and name it"
        ));
    }
    Ok(text)
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
