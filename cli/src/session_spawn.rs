//! `remotelab session-spawn`

mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use remotelab_client::{Delegate, Delegated};

use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{self, Caller, Common, Failure, Kind, words};
use told::Told;

/// Start a session beside this one, with a task of its own.
///
/// Inside a run, the source is the session of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What it is to do; `-` is standard input. Each further one starts a session of its own.
    #[arg(long, required_unless_present = "task_file")]
    task: Vec<String>,
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
        let (mut told, mut failure) = (Vec::new(), None);
        // All of them work while the first is waited for.
        let mut started: Vec<Delegated> = Vec::new();
        for request in requests(arguments)? {
            match caller.patiently(async || caller.instance.delegate(&source, &request).await).await {
                Ok(child) => {
                    told.push(Told::new(&source, &request.task, &child));
                    started.push(child);
                }
                Err(refused) => {
                    failure = Some(refused);
                    break;
                }
            }
        }
        if let Some(until) = wait {
            let deadline = arguments.patience.deadline();
            for (child, told) in started.iter().zip(&mut told) {
                let ended = match ended(caller, child, until, &arguments.patience, deadline).await {
                    Ok(outcome) => {
                        told.ended(&outcome);
                        outcome.failure("Child session run")
                    }
                    Err(failure) => Some(failure),
                };
                failure = failure.or(ended);
            }
        }
        // Whoever has no reply needs the ids to look for what is wrong.
        let form = told::Form { final_only: final_only && failure.is_none(), json: arguments.common.json };
        // A first one that was refused leaves nothing to tell.
        if !told.is_empty() {
            told::print(&told, arguments.task.len() > 1, form)?;
        }
        let failure = failure.map(|failure| failure.at(caller.instance.base_url()));
        Ok(outcome::finish(failure, arguments.common.json))
    })
}

/// Waits for the end of a child's run.
async fn ended(
    caller: &Caller,
    child: &Delegated,
    until: Until,
    patience: &Patience,
    deadline: Instant,
) -> Result<Outcome, Failure> {
    let without = || Failure::new(Kind::Refused, "the session was started without a run");
    let run = child.run.as_ref().ok_or_else(without)?;
    Outcome::of(caller, &run.id, until, patience, deadline).await
}

/// One request for each task. With one key given, each has one of its own that follows from it.
fn requests(arguments: &Arguments) -> Result<Vec<Delegate>, Failure> {
    let tasks = tasks(arguments)?;
    let key = arguments.request_id.clone().unwrap_or_else(|| verb::request_id("spawn"));
    let folder = arguments.folder.as_deref().map(folder).transpose()?;
    let requests = tasks.into_iter().enumerate().map(|(number, task)| Delegate {
        task,
        request_id: if number == 0 { key.clone() } else { format!("{key}:{}", number + 1) },
        name: arguments.name.clone(),
        tool: arguments.tool.clone(),
        model: arguments.model.clone(),
        effort: arguments.effort.clone(),
        folder: folder.clone(),
        internal: arguments.internal,
    });
    Ok(requests.collect())
}

fn tasks(arguments: &Arguments) -> Result<Vec<String>, Failure> {
    if arguments.task.iter().filter(|task| *task == "-").count() > 1 {
        return Err(Failure::usage("standard input can be read once"));
    }
    let given = arguments.task.iter().map(|text| words::given("--task", text.clone()));
    let of_file = arguments.task_file.iter().map(|path| words::from_file("--task-file", path));
    let checked = given.chain(of_file).map(|text| {
        let text = text?.trim().to_owned();
        if text.is_empty() { Err(Failure::usage("--task is required")) } else { Ok(text) }
    });
    checked.collect()
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
