//! From a run's files to the session's history, exactly once and in order.
//!
//! Events and the place in the spool up to which they reach are written in one transaction. After a
//! restart the adapter is fed the lines before that place again, whose events are already stored.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remotelab_executor::runner::{self, Settled};
use remotelab_executor::{Adapter, Parsed, Record, SpoolReader};
use remotelab_protocol::event::Known;
use remotelab_protocol::run::{RunResult, RunnerReport};
use remotelab_protocol::tool::{RuntimeFamily, Tool};
use remotelab_protocol::{Event, Run, RunId, RunState, task_card};
use remotelab_store::{Draft, SessionCell, journal, runs};
use tokio::sync::watch;

use crate::after;
use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::completions;
use crate::results;
use crate::resume;
use crate::starters;
use crate::submit::of_run;

use super::writing::{Shown, Writing};

/// How much of the spool is taken into memory at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a run is ended whose next events cannot be stored.
const TOO_LARGE: &str = "The executor printed more at once than can be stored";

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
    Storage(#[from] journal::Error),
}

/// Where one run's projection stands.
#[derive(Debug)]
pub(super) struct Projector {
    run: RunId,
    folder: PathBuf,
    reading: Option<Reading>,
    /// How the executor's output is read; known when it is.
    family: Option<RuntimeFamily>,
    /// Whether a reply carried the task card.
    card_given: bool,
    /// Whether anything that was said in the run may name files that it made.
    names_files: Arc<AtomicBool>,
    /// The record with which the run ended, once it is durable.
    ended: Option<Run>,
    /// Whether the next events do not fit into a transaction. They never will: the run is stopped and fails.
    is_too_large: bool,
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

/// What the run's record and history do not have yet.
#[derive(Debug)]
struct News {
    report: Option<RunnerReport>,
    lines: Vec<(i64, Parsed)>,
    /// The place in the spool behind these lines, in bytes and in lines.
    place: (u64, u64),
}

impl Projector {
    pub(super) fn new(
        run: RunId,
        folder: PathBuf,
        names_files: Arc<AtomicBool>,
        shown: watch::Sender<Shown>,
    ) -> Self {
        Self {
            run,
            folder,
            reading: None,
            family: None,
            card_given: false,
            names_files,
            ended: None,
            is_too_large: false,
            shown,
        }
    }

    /// Takes over what is new. Blocks until it is durable.
    pub(super) fn advance(&mut self, app: &App, cell: &SessionCell) -> Result<Progress, Error> {
        let outcome = self.look(app, cell);
        if let Err(Error::Storage(journal::Error::TooLarge)) = outcome
            && !self.is_too_large
        {
            tracing::error!(run.id = %self.run, "what a run printed at once cannot be stored; the run is stopped");
            self.is_too_large = true;
            return self.look(app, cell);
        }
        outcome
    }

    fn look(&mut self, app: &App, cell: &SessionCell) -> Result<Progress, Error> {
        let Some(run) = cell.with(|state| state.active.clone()).filter(|run| run.id == self.run) else {
            return Ok(Progress::Ended);
        };
        if run.cancel_requested || self.is_too_large {
            runner::request_cancel(&self.folder).map_err(Error::Runner)?;
        }
        // Asked before the spool is read: a result is written after the last line.
        let settled = runner::settle_recorded(&self.folder, &run).map_err(Error::Runner)?;
        let report = self.report(app, &run);
        // Put back when all went well. After an error the spool is read again from the stored place.
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => {
                let tool = app.tool_or_unknown(&run.tool);
                self.family = tool.runtime_family;
                Reading::resume(&tool, &run, &self.folder)?
            }
        };
        let news = if self.is_too_large {
            News { report, lines: Vec::new(), place: reading.place() }
        } else {
            self.read_spool(cell, &mut reading, report)?
        };
        if let Settled::Ended(result) = settled {
            self.finish(app, cell, &run, &mut reading, news, result)?;
            return Ok(Progress::Ended);
        }
        self.store(cell, &reading.writing, news)?;
        self.reading = Some(reading);
        Ok(match settled {
            Settled::NotStarted => Progress::NotStarted,
            _ => Progress::UnderWay,
        })
    }

    /// Returns the record with which the run ended, once.
    pub(super) fn take_ended(&mut self) -> Option<Run> {
        self.ended.take()
    }

    /// Returns what the runner told of itself, if the run's record does not have it.
    fn report(&self, app: &App, run: &Run) -> Option<RunnerReport> {
        if run.tool_process_id.is_some() {
            return None;
        }
        runs::report(&app.settings.paths, &self.run).unwrap_or_else(|error| {
            // As a crash of the machine may leave it. The run goes without.
            tracing::debug!(run.id = %self.run, %error, "what a runner told of itself is damaged");
            None
        })
    }

    /// Reads the spool to its end and takes over all but the last piece, which is returned: it often belongs
    /// to the end of the run.
    fn read_spool(
        &mut self,
        cell: &SessionCell,
        reading: &mut Reading,
        report: Option<RunnerReport>,
    ) -> Result<News, Error> {
        let mut news = News { report, lines: Vec::new(), place: reading.place() };
        loop {
            let lines = reading.next_lines()?;
            if lines.is_empty() {
                return Ok(news);
            }
            if !news.lines.is_empty() {
                self.store(cell, &reading.writing, news)?;
                news = News { report: None, lines: Vec::new(), place: reading.place() };
            }
            (news.lines, news.place) = (lines, reading.place());
        }
    }

    /// Takes over what is new. Executors tell of every word: what leaves nothing to store is not worth a
    /// transaction, and after a restart it is read again and says the same.
    fn store(&mut self, cell: &SessionCell, writing: &Writing, news: News) -> Result<(), Error> {
        if news.report.is_none() && !news.lines.iter().any(|(_, parsed)| parsed.is_lasting()) {
            Writing::show(Some(writing), &self.shown);
            return Ok(());
        }
        let ((), commit) = cell.change(|draft| {
            // Under the lock: nobody sees a text twice, as it is being written and whole.
            Writing::show(Some(writing), &self.shown);
            let Some(mut run) = draft.active().cloned() else {
                return;
            };
            self.take_over(draft, &mut run, news);
            run.updated_at = now_iso();
            draft.put_run(run);
        });
        Ok(commit.wait()?)
    }

    /// Ends the run: the last events, its verdict and the session's freedom are one change.
    fn finish(
        &mut self,
        app: &App,
        cell: &SessionCell,
        run: &Run,
        reading: &mut Reading,
        news: News,
        result: RunResult,
    ) -> Result<(), Error> {
        let tool = app.tool_or_unknown(&run.tool);
        let (result, parsed) = if self.is_too_large {
            (too_large(result), Parsed::default())
        } else {
            let parsed = reading.adapter.finish(&result);
            (result, parsed)
        };
        let (ended, commit) = cell.change(|draft| {
            Writing::show(None, &self.shown);
            let mut run = draft.active().cloned()?;
            self.take_over(draft, &mut run, news);
            let (failure, resume_lost) = (parsed.failure.clone(), parsed.resume_lost);
            self.card_given |= take_card(draft, &parsed);
            take_over(draft, &mut run, self.family, now_ms(), parsed);
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
            completions::note(app, draft, &mut run);
            draft.put_run(run.clone());
            draft.release_run();
            let latest_seq = draft.meta().latest_seq;
            let session = draft.session_mut();
            session.updated_at = now_iso();
            session.last_run_state = Some(run.state);
            if self.names_files.load(Ordering::Acquire) {
                results::expect(app, session, &run);
            }
            session.context_tokens = run.context_input_tokens.or(session.context_tokens);
            session.context_window_tokens = run.context_window_tokens.or(session.context_window_tokens);
            resume::keep(session, &run, &tool, resume_lost, latest_seq);
            if self.card_given {
                starters::retire(session);
            }
            after::note(app, draft, &run, &tool, self.card_given);
            let deliveries = app.webhooks.deliveries(&run);
            for delivery in &deliveries {
                draft.put_file(delivery.path(), delivery.bytes());
            }
            Some((run, deliveries))
        });
        commit.wait()?;
        if let Some((run, deliveries)) = ended {
            self.ended = Some(run);
            app.webhooks.post(deliveries);
        }
        Ok(())
    }

    /// Adds what is new to the history and the run.
    fn take_over(&mut self, draft: &mut Draft<'_>, run: &mut Run, news: News) {
        if let Some(report) = &news.report {
            run.note_runner(report);
        }
        for (timestamp, parsed) in news.lines {
            if parsed.events.iter().any(results::may_name_files) {
                self.names_files.store(true, Ordering::Release);
            }
            self.card_given |= take_card(draft, &parsed);
            take_over(draft, run, self.family, timestamp, parsed);
        }
        (run.normalized_byte_offset, run.normalized_line_count) = news.place;
        run.last_normalized_at = Some(now_iso());
    }
}

impl Reading {
    /// Makes an adapter that knows the lines before the stored place.
    fn resume(tool: &Tool, run: &Run, folder: &std::path::Path) -> Result<Self, Error> {
        let mut reading = Self {
            adapter: Adapter::for_tool(tool),
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

    /// Takes the next lines, each with its time; none when there are no more.
    fn next_lines(&mut self) -> Result<Vec<(i64, Parsed)>, Error> {
        let records = self.spool.read_new(CHUNK_BYTES).map_err(Error::Spool)?;
        Ok(records.iter().map(|record| (record.ts, self.take(record))).collect())
    }

    fn take(&mut self, record: &Record) -> Parsed {
        let parsed = self.adapter.line(record.stream, &record.line);
        if let Some(partial) = &parsed.partial {
            self.writing.note(partial);
        }
        self.lines += 1;
        parsed
    }

    /// The place behind the last line that was taken, in bytes and in lines.
    fn place(&self) -> (u64, u64) {
        (self.spool.offset(), self.lines)
    }
}

impl App {
    /// Returns a run's tool, or one that is read like Claude when it is gone.
    pub(crate) fn tool_or_unknown(&self, id: &str) -> Tool {
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
fn take_over(
    draft: &mut Draft<'_>,
    run: &mut Run,
    family: Option<RuntimeFamily>,
    timestamp: i64,
    parsed: Parsed,
) {
    for kind in parsed.events {
        draft.append(of_run(run, Event::new(kind, timestamp)));
        run.normalized_event_count += 1;
    }
    if let Some(id) = parsed.resume_id {
        match family {
            Some(RuntimeFamily::ClaudeStreamJson) => run.claude_session_id = Some(id.clone()),
            Some(RuntimeFamily::CodexJson) => run.codex_thread_id = Some(id.clone()),
            None => {}
        }
        run.provider_resume_id = Some(id);
    }
    run.context_input_tokens = parsed.context_tokens.or(run.context_input_tokens);
    run.context_window_tokens = parsed.context_window_tokens.or(run.context_window_tokens);
}

/// The end of a run that was stopped because its output does not fit.
fn too_large(result: RunResult) -> RunResult {
    RunResult { cancelled: false, error: Some(TOO_LARGE.to_owned()), ..result }
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

#[cfg(test)]
mod tests {
    use remotelab_protocol::run::{Manifest, Options};
    use remotelab_protocol::{RunState, SessionId};
    use serde_json::Map;

    use super::*;

    #[test]
    fn a_run_whose_output_does_not_fit_fails_with_a_sentence() {
        let manifest = Manifest {
            id: RunId::random(),
            session_id: SessionId::random(),
            request_id: "r".into(),
            folder: "~".into(),
            tool: "codex".into(),
            prompt: String::new(),
            internal_operation: None,
            options: Options::default(),
            rest: Map::new(),
        };
        // Its runner did as it was told, or had ended well before.
        let stopped = |exit_code, signal: Option<&str>, cancelled| RunResult {
            completed_at: "2026-11-22T07:26:39.751Z".into(),
            exit_code,
            signal: signal.map(str::to_owned),
            cancelled,
            error: None,
        };
        for result in [stopped(None, Some("SIGTERM"), true), stopped(Some(0), None, false)] {
            let mut run = Run::accepted(&manifest, "2026-11-22T07:26:39.203Z");
            end(&mut run, too_large(result), None);
            assert_eq!((run.state, run.failure_reason.as_deref()), (RunState::Failed, Some(TOO_LARGE)));
        }
    }
}
