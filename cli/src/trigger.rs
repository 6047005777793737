//! `remotelab trigger`

mod wait;
mod when;

use std::process::ExitCode;

use remotelab_client::{Method, NewTrigger};
use serde_json::{Value, json};

use crate::verb::outcome::{Patience, Until};
use crate::verb::{self, Caller, Common, Failure, words};
use crate::{arguments, output};

use when::When;

/// Have a message delivered to a session at a time.
///
/// Inside a run, the session is that of the run: an executor comes back to its work like this.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
}

/// One command about triggers.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(Box<Create>),
    /// List triggers, those to come first.
    List(List),
    /// Print one trigger.
    Get(Id),
    Update(Box<Update>),
    /// Have a trigger delivered now.
    RunNow(Id),
    /// Keep a trigger from being delivered.
    Cancel(Id),
    /// Remove a trigger and print it as it was.
    Delete(Id),
}

/// Make a trigger.
///
/// The message becomes an ordinary turn of the session; one that is busy takes it up afterwards.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("when").required(true).args(["delay", "at"]))]
struct Create {
    /// The message; `-` is standard input.
    #[arg(long)]
    text: String,
    #[command(flatten)]
    when: When,
    /// The session; by default that of the run.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// A name for it.
    #[arg(long)]
    title: Option<String>,
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
    /// A key: the same command twice with one key makes one trigger.
    #[arg(long, value_name = "KEY")]
    request_id: Option<String>,
    /// Wait until its run has ended and the reply is `settled`, reviewed and repaired, or only for the `run`. The time
    /// to wait counts from when it is due.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "settled")]
    wait: Option<Until>,
    #[command(flatten)]
    patience: Patience,
}

/// Change a trigger that was not delivered yet; only what is given changes.
#[derive(Debug, clap::Args)]
struct Update {
    #[command(flatten)]
    id: Id,
    /// The message; `-` is standard input.
    #[arg(long)]
    text: Option<String>,
    #[command(flatten)]
    when: When,
    /// The session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// A name for it.
    #[arg(long)]
    title: Option<String>,
    /// The executor; an empty one is the session's own.
    #[arg(long)]
    tool: Option<String>,
    /// The model.
    #[arg(long)]
    model: Option<String>,
    /// The effort.
    #[arg(long)]
    effort: Option<String>,
    /// Whether the executor thinks at length.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    thinking: Option<bool>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// The session; by default that of the run. An empty one means all.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Those of all sessions.
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// Only those that are `pending`, `delivering`, `delivered`, `failed` or `cancelled`.
    #[arg(long)]
    status: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Id {
    /// The trigger, `trg_…`.
    #[arg(value_name = "TRIGGER-ID")]
    id: String,
}

pub(crate) fn run(given: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(command) = &given.command else {
        output::text(&arguments::help_of("trigger"))?;
        return Ok(ExitCode::SUCCESS);
    };
    verb::run(&given.common, async |caller| {
        let answer = match command {
            Command::Create(create) => {
                let answer = self::create(caller, create).await?;
                let Some(until) = create.wait else { return print(&answer["trigger"], given.common.json) };
                return wait::wait(caller, answer, until, &create.patience, given.common.json).await;
            }
            Command::List(list) => {
                let triggers = self::list(caller, list).await?;
                if given.common.json {
                    output::json(&json!({"triggers": triggers}))?;
                } else {
                    let blocks: Vec<String> = triggers.iter().map(shown).collect();
                    output::text(&(blocks.join("\n") + if blocks.is_empty() { "\n" } else { "" }))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Command::Get(Id { id }) => one(caller, Method::GET, id, None).await?,
            Command::Update(update) => {
                one(caller, Method::PATCH, &update.id.id, Some(changes(update)?)).await?
            }
            Command::RunNow(Id { id }) => {
                let now = remotelab_protocol::time::iso(jiff::Timestamp::now());
                one(caller, Method::PATCH, id, Some(json!({"scheduledAt": now, "enabled": true}))).await?
            }
            Command::Cancel(Id { id }) => {
                one(caller, Method::PATCH, id, Some(json!({"enabled": false}))).await?
            }
            Command::Delete(Id { id }) => one(caller, Method::DELETE, id, None).await?,
        };
        print(&answer["trigger"], given.common.json)
    })
}

fn print(trigger: &Value, as_json: bool) -> Result<ExitCode, Failure> {
    if as_json {
        output::json(&json!({"trigger": trigger}))?;
    } else {
        output::text(&shown(trigger))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(caller: &Caller, create: &Create) -> Result<Value, Failure> {
    let session = caller.session(create.session.as_deref()).ok_or_else(|| {
        Failure::usage("No session id provided. Pass --session or set REMOTELAB_SESSION_ID.")
    })?;
    let text = words::given("--text", create.text.clone())?.trim().to_owned();
    if text.is_empty() {
        return Err(Failure::usage("--text is required"));
    }
    let scheduled_at = create.when.scheduled_at(jiff::Timestamp::now())?;
    let trigger = NewTrigger {
        session_id: session,
        scheduled_at: remotelab_protocol::time::iso(scheduled_at),
        text,
        title: create.title.clone(),
        tool: create.tool.clone(),
        model: create.model.clone(),
        effort: create.effort.clone(),
        thinking: create.thinking,
        request_id: create.request_id.clone().unwrap_or_else(|| verb::request_id("trigger")),
    };
    caller.patiently(async || caller.instance.create_trigger(&trigger).await).await
}

fn changes(update: &Update) -> Result<Value, Failure> {
    let mut changes = serde_json::Map::new();
    if let Some(text) = &update.text {
        changes.insert("text".into(), words::given("--text", text.clone())?.trim().into());
    }
    if update.when.is_given() {
        let at = update.when.scheduled_at(jiff::Timestamp::now())?;
        changes.insert("scheduledAt".into(), remotelab_protocol::time::iso(at).into());
    }
    for (key, value) in [
        ("sessionId", &update.session),
        ("title", &update.title),
        ("tool", &update.tool),
        ("model", &update.model),
        ("effort", &update.effort),
    ] {
        if let Some(value) = value {
            changes.insert(key.into(), value.as_str().into());
        }
    }
    if let Some(thinking) = update.thinking {
        changes.insert("thinking".into(), thinking.into());
    }
    if changes.is_empty() {
        return Err(Failure::usage("nothing is given that would change the trigger"));
    }
    Ok(changes.into())
}

async fn list(caller: &Caller, list: &List) -> Result<Vec<Value>, Failure> {
    let session = if list.all { None } else { caller.session(list.session.as_deref()) };
    let mut path = "/api/triggers".to_owned();
    if let Some(session) = session {
        if !session.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Failure::usage(format!("{session} is no session id")));
        }
        path.push_str("?sessionId=");
        path.push_str(&session);
    }
    let read = async || caller.instance.request(Method::GET, &path, None).await;
    let mut answer = caller.patiently(read).await?;
    let Value::Array(mut triggers) = answer["triggers"].take() else { return Ok(Vec::new()) };
    triggers.retain(|trigger| list.status.as_deref().is_none_or(|status| trigger["status"] == status));
    Ok(triggers)
}

/// Asks about one trigger. Reading, cancelling and deleting are safe to repeat.
async fn one(caller: &Caller, method: Method, id: &str, body: Option<Value>) -> Result<Value, Failure> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Failure::usage(format!("{id:?} is no trigger id")));
    }
    let path = format!("/api/triggers/{id}");
    let ask = async || caller.instance.request(method.clone(), &path, body.as_ref()).await;
    caller.patiently(ask).await
}

fn shown(trigger: &Value) -> String {
    let line = |key: &str, is_optional: bool| {
        let text = trigger[key].as_str().unwrap_or_default();
        if is_optional && text.is_empty() { String::new() } else { format!("{key}: {text}\n") }
    };
    let always = ["id", "status", "sessionId", "scheduledAt"].map(|key| line(key, false));
    let last = ["deliveredAt", "runId", "lastError"].map(|key| line(key, true));
    always.concat() + &line("title", true) + &line("text", false) + &last.concat()
}
