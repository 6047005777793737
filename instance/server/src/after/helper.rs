//! The call that asks an executor about a turn: a run of its own beside the session's, which adds nothing to
//! the history and ends in time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use remotelab_executor::runner::{self, Settled};
use remotelab_executor::{Adapter, SpoolReader, command};
use remotelab_protocol::event::Known;
use remotelab_protocol::pending::AfterTurn;
use remotelab_protocol::run::{Manifest, Options, RunResult};
use remotelab_protocol::tool::Tool;
use remotelab_protocol::{Run, RunId, RunState};
use remotelab_store::{Commit, SessionCell, runs};
use serde_json::Map;
use tokio::time::Instant;

use super::question;
use crate::app::{App, Shared, blocking};
use crate::clock::now_iso;
use crate::runs::start;

/// What such a run is called in lists of runs.
pub(super) const OPERATION: &str = "turn_helper";
/// How long it may take to end when it was told to.
const GRACE: Duration = Duration::from_secs(10);
/// How long a runner may take to take its run over.
const START_PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// How much of an answer is read, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// How much output is looked through for it, in bytes.
const OUTPUT_BYTES: u64 = 8 << 20;

/// Adds the run that asks about a turn; `None` when there is nobody to ask. Blocks.
pub(super) fn begin(app: &App, cell: &SessionCell, after: &AfterTurn) -> Option<(RunId, Commit)> {
    let ended = runs::load(app.store.files(), &after.run_id).ok().flatten()?;
    let tool = app.asked_tool(&app.tool_or_unknown(&ended.tool))?;
    let prompt = question::about(app, cell, after, &ended);
    let id = RunId::random();
    let manifest = Manifest {
        session_id: cell.id().clone(),
        request_id: format!("{OPERATION}:{}", after.run_id),
        // Not the user's folder: nothing there is to be read for it.
        folder: runs::folder(&app.settings.paths, &id).to_string_lossy().into_owned(),
        prompt,
        internal_operation: Some(OPERATION.to_owned()),
        options: Options {
            model: model(app, &tool, &ended),
            effort: command::answers_without_tools(&tool).then(|| "low".to_owned()),
            without_tools: true,
            ..Options::default()
        },
        tool: tool.id,
        rest: Map::new(),
        id: id.clone(),
    };
    let (added, commit) = cell.change(|draft| {
        // The next turn may have ended meanwhile.
        if draft.session().after_turn.as_ref() != Some(after) {
            return false;
        }
        draft.add_run(&manifest, &Run::accepted(&manifest, &now_iso()));
        draft.session_mut().after_turn = Some(AfterTurn { helper_run_id: Some(id.clone()), ..after.clone() });
        true
    });
    added.then_some((id, commit))
}

/// Carries the call out, or waits for one that is under way, and returns what was said or why nothing was.
pub(super) async fn answer(app: &Shared, cell: &Arc<SessionCell>, id: &RunId) -> Result<String, String> {
    let (paths, run) = (app.settings.paths.clone(), id.clone());
    let made = blocking(move || runs::make_folder(&paths, &run)).await;
    let folder = made.map_err(|error| error.to_string())?;
    let result = ended(app, id, &folder).await?;
    let (worker, id) = (Arc::clone(app), id.clone());
    let (said, run) = blocking(move || conclude(&worker, &id, &folder, result)).await;
    if let Some(run) = run {
        let target = Arc::clone(cell);
        let ((), commit) = blocking(move || target.change(|draft| draft.put_run(run))).await;
        commit.durable().await.map_err(|error| error.to_string())?;
    }
    said
}

/// Claude has a small model that every account may use; Codex is left to its own choice.
fn model(app: &App, tool: &Tool, ended: &Run) -> Option<String> {
    let small = (tool.builtin && tool.id == "claude").then(|| "haiku".to_owned());
    let same = ended.model.clone().filter(|_| ended.tool == tool.id);
    app.settings.after_turn.helper_model.clone().or(small).or(same)
}

/// Starts the run if need be and waits for its end, which it is told to come to in time.
async fn ended(app: &Shared, id: &RunId, folder: &Path) -> Result<RunResult, String> {
    let until = Instant::now() + app.settings.after_turn.helper_limit;
    let mut started: Option<Instant> = None;
    loop {
        let late = Instant::now() > until;
        let asked = folder.to_owned();
        let settled = blocking(move || {
            if late {
                runner::request_cancel(&asked)?;
            }
            runner::settle(&asked, late)
        });
        match settled.await.map_err(|error| error.to_string())? {
            Settled::Ended(result) => return Ok(result),
            _ if Instant::now() > until + GRACE => return Err("the executor does not end".to_owned()),
            Settled::NotStarted if started.is_none_or(|at| at.elapsed() > START_PATIENCE) => {
                start::start(app, id).await;
                started = Some(Instant::now());
            }
            Settled::NotStarted | Settled::Alive => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads what was said and brings the run's record to its end.
fn conclude(
    app: &App,
    id: &RunId,
    folder: &Path,
    result: RunResult,
) -> (Result<String, String>, Option<Run>) {
    let Ok(Some(mut run)) = runs::load(app.store.files(), id) else {
        return (Err("the record of the call is damaged".to_owned()), None);
    };
    let mut adapter = Adapter::for_tool(&app.tool_or_unknown(&run.tool));
    let said = read(&mut adapter, folder);
    let failure = adapter.finish(&result).failure;
    if let Ok(Some(report)) = runs::report(&app.settings.paths, id) {
        run.note_runner(&report);
    }
    run.failure_reason.clone_from(&failure);
    run.finish(result);
    run.finalized_at = Some(now_iso());
    run.updated_at = now_iso();
    let said = match (run.state, said) {
        (RunState::Completed, Ok(text)) if !text.trim().is_empty() => Ok(text),
        (RunState::Cancelled, _) => Err("the executor took too long".to_owned()),
        (_, Err(error)) => Err(error.to_string()),
        _ => Err(failure.unwrap_or_else(|| "the executor said nothing".to_owned())),
    };
    (said, Some(run))
}

fn read(adapter: &mut Adapter, folder: &Path) -> std::io::Result<String> {
    let mut reader = SpoolReader::open(folder, 0);
    let mut said = String::new();
    while reader.offset() < OUTPUT_BYTES {
        let records = reader.read_new(1 << 20)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            for event in adapter.line(record.stream, &record.line).events {
                if let Known::Message(message) = event
                    && said.len() + message.content.len() <= ANSWER_BYTES
                {
                    said.push_str(&message.content);
                    said.push('\n');
                }
            }
        }
    }
    Ok(said)
}
