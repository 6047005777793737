//! From a run's files to the session's history, exactly once and in order.
//!
//! Events and the place in the spool up to which they reach are written in one transaction. After a
//! restart the adapter is fed the lines before that place again, whose events are already stored.

use std::io;
use std::path::PathBuf;

use remotelab_config::atomic;
use remotelab_executor::runner::{self, Settled};
use remotelab_executor::{Adapter, Parsed, SpoolReader};
use remotelab_protocol::event::Known;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::{Event, Run, RunId, RunState};
use remotelab_store::{Draft, SessionCell, journal, runs};

use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::results;
use crate::submit::of_run;

/// How much of the spool is taken into memory at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What a look at a run's files brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NotStarted,
    Nothing,
    Advanced,
    Ended,
}

/// Why a run's files could not be taken over; trying again later is safe.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read the run's output")]
    Spool(#[source] io::Error),
    #[error("cannot ask for the runner")]
    Runner(#[source] io::Error),
    #[error(transparent)]
    File(#[from] atomic::Error),
    #[error(transparent)]
    Storage(#[from] journal::Error),
}

/// Where one run's projection stands.
#[derive(Debug)]
pub(super) struct Projector {
    run: RunId,
    folder: PathBuf,
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    adapter: Adapter,
    spool: SpoolReader,
    lines: u64,
}

impl Projector {
    pub(super) fn new(run: RunId, folder: PathBuf) -> Self {
        Self { run, folder, reading: None }
    }

    /// Takes over what is new. Blocks until it is durable.
    pub(super) fn advance(&mut self, app: &App, cell: &SessionCell) -> Result<Progress, Error> {
        let Some(run) = cell.with(|state| state.active.clone()).filter(|run| run.id == self.run) else {
            return Ok(Progress::Ended);
        };
        if run.cancel_requested {
            runner::request_cancel(&self.folder).map_err(Error::Runner)?;
        }
        // Asked before the spool is read: a result is written after the last line.
        let settled = runner::settle(&self.folder, run.cancel_requested).map_err(Error::Runner)?;
        let mut advanced = self.note_runner(app, cell, &run)?;
        advanced |= self.read_spool(app, cell, &run)?;
        if let Settled::Ended(result) = settled {
            self.finish(app, cell, &run, result)?;
            return Ok(Progress::Ended);
        }
        Ok(match settled {
            Settled::NotStarted => Progress::NotStarted,
            _ if advanced => Progress::Advanced,
            _ => Progress::Nothing,
        })
    }

    fn note_runner(&self, app: &App, cell: &SessionCell, run: &Run) -> Result<bool, Error> {
        let Some(report) = runs::report(&app.settings.paths, &self.run)? else {
            return Ok(false);
        };
        let mut noted = run.clone();
        noted.note_runner(&report);
        if noted == *run {
            return Ok(false);
        }
        noted.updated_at = now_iso();
        cell.change(|draft| draft.put_run(noted)).1.wait()?;
        Ok(true)
    }

    fn read_spool(&mut self, app: &App, cell: &SessionCell, run: &Run) -> Result<bool, Error> {
        let reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading::resume(app, run, &self.folder)?,
        };
        let reading = self.reading.insert(reading);
        let mut advanced = false;
        loop {
            let records = reading.spool.read_new(CHUNK_BYTES).map_err(Error::Spool)?;
            if records.is_empty() {
                return Ok(advanced);
            }
            let parsed: Vec<(i64, Parsed)> = records
                .iter()
                .map(|record| (record.ts, reading.adapter.line(record.stream, &record.line)))
                .collect();
            reading.lines += records.len() as u64;
            let (offset, lines) = (reading.spool.offset(), reading.lines);
            let ((), commit) = cell.change(|draft| {
                let Some(mut run) = draft.active().cloned() else {
                    return;
                };
                for (timestamp, parsed) in parsed {
                    take_over(draft, &mut run, timestamp, parsed);
                }
                run.normalized_byte_offset = offset;
                run.normalized_line_count = lines;
                run.last_normalized_at = Some(now_iso());
                run.updated_at = now_iso();
                draft.put_run(run);
            });
            commit.wait()?;
            advanced = true;
        }
    }

    /// Ends the run: the last events, its verdict and the session's freedom are one change.
    fn finish(&mut self, app: &App, cell: &SessionCell, run: &Run, result: RunResult) -> Result<(), Error> {
        let parsed = match &mut self.reading {
            Some(reading) => reading.adapter.finish(&result),
            None => Adapter::for_tool(&app.tool_or_unknown(&run.tool)).finish(&result),
        };
        let ((), commit) = cell.change(|draft| {
            let Some(mut run) = draft.active().cloned() else {
                return;
            };
            let (failure, resume_lost) = (parsed.failure.clone(), parsed.resume_lost);
            take_over(draft, &mut run, now_ms(), parsed);
            end(&mut run, result, failure);
            let verdict = match run.state {
                RunState::Cancelled => Some("cancelled".to_owned()),
                RunState::Failed => run.failure_reason.as_ref().map(|reason| format!("error: {reason}")),
                _ => None,
            };
            if let Some(content) = verdict {
                draft.append(of_run(&run, Event::new(Known::Status { content }, now_ms())));
            }
            run.finalized_at = Some(now_iso());
            run.updated_at = now_iso();
            draft.put_run(run.clone());
            draft.release_run();
            let session = draft.session_mut();
            session.updated_at = now_iso();
            session.last_run_state = Some(run.state);
            results::expect(session, &run);
            keep_resume_id(session, &run, resume_lost);
        });
        Ok(commit.wait()?)
    }
}

impl Reading {
    /// Makes an adapter that knows the lines before the stored place.
    fn resume(app: &App, run: &Run, folder: &std::path::Path) -> Result<Self, Error> {
        let mut adapter = Adapter::for_tool(&app.tool_or_unknown(&run.tool));
        let mut before = SpoolReader::open(folder, 0);
        let mut lines = 0;
        'replay: while before.offset() < run.normalized_byte_offset {
            let records = before.read_new(CHUNK_BYTES).map_err(Error::Spool)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                if record.end_offset > run.normalized_byte_offset {
                    break 'replay;
                }
                let _ = adapter.line(record.stream, &record.line);
                lines += 1;
            }
        }
        let spool = SpoolReader::open(folder, run.normalized_byte_offset);
        Ok(Self { adapter, spool, lines })
    }
}

impl App {
    /// Returns a run's tool, or one that is read like Claude when it is gone.
    fn tool_or_unknown(&self, id: &str) -> remotelab_protocol::tool::Tool {
        self.catalogue.find(id).unwrap_or_default()
    }
}

/// Adds what a line meant to the history and the run.
fn take_over(draft: &mut Draft<'_>, run: &mut Run, timestamp: i64, parsed: Parsed) {
    for kind in parsed.events {
        draft.append(of_run(run, Event::new(kind, timestamp)));
        run.normalized_event_count += 1;
    }
    if let Some(id) = parsed.resume_id {
        match run.tool.as_str() {
            "claude" => run.claude_session_id = Some(id.clone()),
            "codex" => run.codex_thread_id = Some(id.clone()),
            _ => {}
        }
        run.provider_resume_id = Some(id);
    }
    run.context_input_tokens = parsed.context_tokens.or(run.context_input_tokens);
    run.context_window_tokens = parsed.context_window_tokens.or(run.context_window_tokens);
}

fn end(run: &mut Run, result: RunResult, failure: Option<String>) {
    run.failure_reason.clone_from(&failure);
    run.finish(result);
    if run.state == RunState::Completed && failure.is_some() {
        run.state = RunState::Failed;
    }
    if run.state != RunState::Failed {
        run.failure_reason = None;
    }
}

/// Only the built-in tools are resumed, so only theirs are kept.
fn keep_resume_id(session: &mut remotelab_protocol::Session, run: &Run, lost: bool) {
    let kept = |id: &Option<String>| if lost { None } else { id.clone() };
    match run.tool.as_str() {
        "claude" => session.claude_session_id = kept(&run.claude_session_id),
        "codex" => session.codex_thread_id = kept(&run.codex_thread_id),
        _ => {}
    }
}
