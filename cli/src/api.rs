//! `remotelab api`

mod fetched;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_client::{Method, Waited};
use remotelab_protocol::RunId;
use serde_json::{Value, json};

use crate::output;
use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{self, Caller, Common, Failure, Kind, words};

/// Send one request to the chat server and print its answer as JSON.
///
/// Inside a run it may do what the run may, elsewhere what the owner may. Paths are those of the HTTP API, for
/// example `remotelab api GET /api/sessions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The method: GET, POST, PATCH, PUT or DELETE.
    method: String,
    /// The path, which begins with a slash, with its query.
    path: String,
    /// The body, as JSON; `-` is standard input.
    #[arg(long, value_name = "JSON", conflicts_with = "body_file")]
    body: Option<String>,
    /// The file that holds the body.
    #[arg(long, value_name = "PATH")]
    body_file: Option<PathBuf>,
    /// A name and a value to add to the path's query; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    query: Vec<String>,
    /// Print one field of the answer, like `session.id` or `runs.0.state`.
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// Print the answer as it comes, whatever it is.
    #[arg(long)]
    raw: bool,
    /// Print status and headers first.
    #[arg(long)]
    include: bool,
    /// Write the answer to a file instead, as it comes.
    #[arg(long, value_name = "PATH")]
    output_file: Option<PathBuf>,
    /// Wait until the run that the request starts has ended and its reply is `settled`, or only for the `run`, and
    /// add `awaitedRun`, `sessionUrl`, `reply` and `settledRunId`.
    #[arg(long, visible_alias = "wait", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "settled", conflicts_with_all = ["raw", "include", "output_file"])]
    wait_run: Option<Until>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    verb::run(&arguments.common, async |caller| {
        let deadline = arguments.patience.deadline();
        let method = method(&arguments.method)?;
        let path = &with_query(&arguments.path, &arguments.query)?;
        if !path.starts_with('/') {
            return Err(Failure::usage(format!("RemoteLab API path must start with \"/\": {path}")));
        }
        let body = body(arguments)?;
        if body.is_some() && matches!(method, Method::GET | Method::HEAD) {
            return Err(Failure::usage(format!("a {method} request has no body")));
        }
        if arguments.raw || arguments.include || arguments.output_file.is_some() {
            let answer = caller.instance.fetch(method, path, body.as_ref()).await?;
            fetched::take(answer, arguments.include, arguments.output_file.as_deref()).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let call = async || caller.instance.request(method.clone(), path, body.as_ref()).await;
        let repeatable =
            method == Method::GET || body.as_ref().is_some_and(|body| body["requestId"].is_string());
        let mut answer = if repeatable { caller.patiently(call).await? } else { call().await? };
        let Some(until) = arguments.wait_run else {
            print(&answer, arguments.field.as_deref())?;
            return Ok(ExitCode::SUCCESS);
        };
        let failure = wait(caller, &mut answer, path, until, &arguments.patience, deadline).await;
        print(&answer, arguments.field.as_deref())?;
        Ok(outcome::finish(failure?, arguments.common.json))
    })
}

fn print(answer: &Value, field: Option<&str>) -> Result<(), Failure> {
    let Some(field) = field else { return Ok(output::json(answer)?) };
    let missing = || Failure::new(Kind::Refused, format!("the answer has no field {field}"));
    let found = field.split('.').try_fold(answer, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    });
    match found.ok_or_else(missing)? {
        Value::String(text) => Ok(output::line(text)?),
        value => Ok(output::json(value)?),
    }
}

fn with_query(path: &str, pairs: &[String]) -> Result<String, Failure> {
    let mut path = path.to_owned();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--query takes NAME=VALUE, which {pair} is not")))?;
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&format!("{}={}", encoded(name), encoded(value)));
    }
    Ok(path)
}

/// Waits for the run of an answer and adds what became of it. What is known stays in the answer, also when
/// waiting fails.
async fn wait(
    caller: &Caller,
    answer: &mut Value,
    path: &str,
    until: Until,
    patience: &Patience,
    deadline: Instant,
) -> Result<Option<Failure>, Failure> {
    let session = answer["session"]["id"].as_str().map(str::to_owned).or_else(|| session_in(path));
    if let Some(session) = &session {
        answer["sessionUrl"] = verb::session_url(session).into();
    }
    let started = answer["run"]["id"].as_str().and_then(|id| RunId::parse(id).ok());
    let run = match (started, answer["requestId"].as_str(), &session) {
        (Some(run), ..) => run,
        (None, Some(request), Some(session)) if answer["run"].is_null() => {
            match caller.instance.wait_in_queue(session, request, deadline).await? {
                Waited::Done(run) => run,
                Waited::TimedOut(_) => {
                    answer["timedOut"] = true.into();
                    return Ok(Some(Failure::new(
                        Kind::StillRunning,
                        "Timed out waiting; the message is still queued",
                    )));
                }
            }
        }
        _ => {
            let message = "--wait-run requires the response to include run.id";
            return Ok(Some(Failure::new(Kind::Refused, message)));
        }
    };
    let outcome = Outcome::of(caller, &run, until, patience, deadline).await?;
    answer["awaitedRun"] = json!(outcome.run);
    if outcome.timed_out {
        answer["timedOut"] = true.into();
    }
    if let Some(run) = &outcome.settled_run {
        answer["settledRunId"] = run.as_str().into();
    }
    if !outcome.reply.is_empty() {
        answer["reply"] = outcome.reply.as_str().into();
    }
    Ok(outcome.failure("The run"))
}

fn method(text: &str) -> Result<Method, Failure> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let method = known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
    method.ok_or_else(|| Failure::usage(format!("{text} is no method of the API")))
}

fn body(arguments: &Arguments) -> Result<Option<Value>, Failure> {
    let text = match (&arguments.body, &arguments.body_file) {
        (Some(text), _) => words::given("--body", text.clone())?,
        (None, Some(path)) => words::from_file("--body-file", path)?,
        (None, None) => return Ok(None),
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let wrong = |error| Failure::usage(format!("Request body must be valid JSON: {error}"));
    serde_json::from_str(&text).map(Some).map_err(wrong)
}

/// The session of a path `/api/sessions/<id>/…`.
fn session_in(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/api/sessions/")?;
    let id = rest.split(['/', '?']).next()?;
    remotelab_protocol::SessionId::parse(id).ok().map(|id| id.to_string())
}
