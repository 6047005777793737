//! From a run's files to the session's history, exactly once and in order.
//!
//! Events and the place in the spool up to which they reach are written in one transaction. After a
//! restart the adapter is fed the lines before that place again, whose events are already stored.

use std::io;
use std::path::PathBuf;

use remotelab_config::atomic;
use remotelab_executor::runner::{self, Settled};
use remotelab_executor::{Adapter, Parsed, Record, SpoolReader};
use remotelab_protocol::event::Known;
use remotelab_protocol::run::RunResult;
use remotelab_protocol::{Event, Run, RunId, RunState, task_card};
use remotelab_store::{Draft, SessionCell, journal, runs};
use tokio::sync::watch;

use crate::after;
use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::results;
use crate::resume;
use crate::submit::of_run;

use super::writing::{Shown, Writing};

/// How much of the spool is taken into memory at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What a look at a run's files brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NotStarted,
    UnderWay,
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
    /// Whether a reply carried the task card.
    card_given: bool,
    /// Where those look who show what is being written.
    shown: watch::Sender<Shown>,
}

/// How far the spool has been read. What is stored may be behind it by lines that left nothing to store.
#[derive(Debug)]
struct Reading {
    adapter: Adapter,
    spool: SpoolReader,
    lines: u64,
    writing: Writing,
}

impl Projector {
    pub(super) fn new(run: RunId, folder: PathBuf, shown: watch::Sender<Shown>) -> Self {
        Self { run, folder, reading: None, card_given: false, shown }
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
        self.note_runner(app, cell, &run)?;
        self.read_spool(app, cell, &run)?;
        if let Settled::Ended(result) = settled {
            self.finish(app, cell, &run, result)?;
            return Ok(Progress::Ended);
        }
        Ok(match settled {
            Settled::NotStarted => Progress::NotStarted,
            _ => Progress::UnderWay,
        })
    }

    fn note_runner(&self, app: &App, cell: &SessionCell, run: &Run) -> Result<(), Error> {
        let Some(report) = runs::report(&app.settings.paths, &self.run)? else {
            return Ok(());
        };
        let mut noted = run.clone();
        noted.note_runner(&report);
        if noted == *run {
            return Ok(());
        }
        noted.updated_at = now_iso();
        Ok(cell.change(|draft| draft.put_run(noted)).1.wait()?)
    }

    fn read_spool(&mut self, app: &App, cell: &SessionCell, run: &Run) -> Result<(), Error> {
        let reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                let reading = Reading::resume(app, run, &self.folder)?;
                // Its last piece may stand before the stored place.
                Writing::show(Some(&reading.writing), &self.shown);
                reading
            }
        };
        let reading = self.reading.insert(reading);
        loop {
            let records = reading.spool.read_new(CHUNK_BYTES).map_err(Error::Spool)?;
            if records.is_empty() {
                return Ok(());
            }
            let parsed: Vec<(i64, Parsed)> =
                records.iter().map(|record| (record.ts, reading.take(record))).collect();
            // Executors tell of every word. What leaves nothing to store is not worth a transaction: after a
            // restart it is read again and says the same.
            if !parsed.iter().any(|(_, parsed)| parsed.is_lasting()) {
                Writing::show(Some(&reading.writing), &self.shown);
                continue;
            }
            let ((), commit) = cell.change(|draft| {
                // Under the lock: nobody sees a text twice, as it is being written and whole.
                Writing::show(Some(&reading.writing), &self.shown);
                let Some(mut run) = draft.active().cloned() else {
                    return;
                };
                for (timestamp, parsed) in parsed {
                    self.card_given |= take_card(draft, &parsed);
                    take_over(draft, &mut run, timestamp, parsed);
                }
                reading.note_place(&mut run);
                run.updated_at = now_iso();
                draft.put_run(run);
            });
            commit.wait()?;
        }
    }

    /// Ends the run: the last events, its verdict and the session's freedom are one change.
    fn finish(&mut self, app: &App, cell: &SessionCell, run: &Run, result: RunResult) -> Result<(), Error> {
        let tool = app.tool_or_unknown(&run.tool);
        let parsed = match &mut self.reading {
            Some(reading) => reading.adapter.finish(&result),
            None => Adapter::for_tool(&tool).finish(&result),
        };
        let (deliveries, commit) = cell.change(|draft| {
            Writing::show(None, &self.shown);
            let Some(mut run) = draft.active().cloned() else {
                return Vec::new();
            };
            if let Some(reading) = &self.reading {
                reading.note_place(&mut run);
            }
            let (failure, resume_lost) = (parsed.failure.clone(), parsed.resume_lost);
            self.card_given |= take_card(draft, &parsed);
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
            let latest_seq = draft.meta().latest_seq;
            let session = draft.session_mut();
            session.updated_at = now_iso();
            session.last_run_state = Some(run.state);
            results::expect(session, &run);
            session.context_tokens = run.context_input_tokens.or(session.context_tokens);
            session.context_window_tokens = run.context_window_tokens.or(session.context_window_tokens);
            resume::keep(session, &run, &tool, resume_lost, latest_seq);
            after::note(app, draft, &run, &tool, self.card_given);
            let deliveries = app.webhooks.deliveries(&run);
            for delivery in &deliveries {
                draft.put_file(delivery.path(), delivery.bytes());
            }
            deliveries
        });
        commit.wait()?;
        app.webhooks.post(deliveries);
        Ok(())
    }
}

impl Reading {
    /// Makes an adapter that knows the lines before the stored place.
    fn resume(app: &App, run: &Run, folder: &std::path::Path) -> Result<Self, Error> {
        let mut reading = Self {
            adapter: Adapter::for_tool(&app.tool_or_unknown(&run.tool)),
            spool: SpoolReader::open(folder, run.normalized_byte_offset),
            lines: 0,
            writing: Writing::default(),
        };
        let mut before = SpoolReader::open(folder, 0);
        'replay: while before.offset() < run.normalized_byte_offset {
            let records = before.read_new(CHUNK_BYTES).map_err(Error::Spool)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                if record.end_offset > run.normalized_byte_offset {
                    break 'replay;
                }
                reading.take(&record);
            }
        }
        Ok(reading)
    }

    fn take(&mut self, record: &Record) -> Parsed {
        let parsed = self.adapter.line(record.stream, &record.line);
        if let Some(partial) = &parsed.partial {
            self.writing.note(partial);
        }
        self.lines += 1;
        parsed
    }

    fn note_place(&self, run: &mut Run) {
        run.normalized_byte_offset = self.spool.offset();
        run.normalized_line_count = self.lines;
        run.last_normalized_at = Some(now_iso());
    }
}

impl App {
    /// Returns a run's tool, or one that is read like Claude when it is gone.
    pub(crate) fn tool_or_unknown(&self, id: &str) -> remotelab_protocol::tool::Tool {
        self.catalogue.find(id).unwrap_or_default()
    }
}

/// Keeps the task card that a reply carries; tells whether there was one.
fn take_card(draft: &mut Draft<'_>, parsed: &Parsed) -> bool {
    let mut cards = parsed.events.iter().rev().filter_map(|event| match event {
        Known::Message(message) => task_card::in_text(&message.content),
        _ => None,
    });
    let Some(card) = cards.next().filter(|_| after::has_card(draft.session())) else {
        return false;
    };
    draft.session_mut().rest.insert("taskCard".to_owned(), card);
    true
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
