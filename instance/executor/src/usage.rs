//! What executors used, from the logs that they keep of their own sessions.
//!
//! A log is read line by line into [`Entry`]s, which do not tell whose log it is. Tokens are credited to the
//! model, the effort, the folder and the day that they were used with, not to those that a session ended
//! with.

mod claude;
mod codex;
mod entry;
mod files;
mod session;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use entry::Entry;
use session::Reading;

pub use entry::Tokens;
pub use session::SessionUsage;
pub use text::render as text;

/// Which program wrote a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `rollout-….jsonl` below `sessions`.
    Codex,
    /// `<session>.jsonl` below `projects`.
    Claude,
}

/// A folder of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who wrote them.
    pub family: Family,
    /// `personal` or `managed`.
    pub kind: &'static str,
    /// What people call it.
    pub label: String,
    /// The folder.
    pub folder: PathBuf,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The end of the window.
    pub now: Timestamp,
    /// Its length.
    pub days: u32,
    /// How many rows of each long list.
    pub top: usize,
    /// `all`, `personal` or `managed`; only said again.
    pub source: String,
    /// Where days begin.
    pub zone: TimeZone,
}

/// Figures of one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The window in Unix milliseconds.
    pub start_ms: i64,
    /// See `start_ms`.
    pub end_ms: i64,
    /// Its length.
    pub days: u32,
    /// How long lists may be.
    pub top: usize,
    /// Which sources were asked for.
    pub source: String,
    /// How many logs were read.
    pub sessions_scanned: usize,
    /// How many used something in the window.
    pub sessions_with_usage: usize,
    /// How many times something was used.
    pub usage_event_count: usize,
    /// All that was used.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The last word of a provider on its weekly limit.
    pub latest_secondary_used_percent: Option<f64>,
    /// When that was.
    pub latest_secondary_timestamp: String,
    /// Where.
    pub latest_secondary_source: String,
    /// The same tokens divided up.
    pub by_source: Vec<Share>,
    /// See `by_source`.
    pub by_effort: Vec<Share>,
    /// See `by_source`.
    pub by_model: Vec<Share>,
    /// See `by_source`; cut to `top`.
    pub by_cwd: Vec<Share>,
    /// See `by_source`; cut to `top`.
    pub by_day: Vec<Share>,
    /// All sessions that used something, the largest first.
    pub sessions: Vec<SessionUsage>,
    /// The first of them.
    pub top_sessions: Vec<SessionUsage>,
}

/// A part of the tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Whose.
    pub key: String,
    /// How many.
    pub total_tokens: u64,
    /// Of one.
    pub share: f64,
}

/// How tokens are divided up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Source,
    Effort,
    Model,
    Cwd,
    Day,
}

type Divided = BTreeMap<(By, String), u64>;

/// Returns where the executors of a user keep their logs, and those of an instance's own Codex home.
#[must_use]
pub fn sources(home: &Path, managed_codex_home: &Path) -> Vec<Source> {
    let source =
        |family, kind, label: &str, folder: PathBuf| Source { family, kind, label: label.to_owned(), folder };
    vec![
        source(Family::Codex, "personal", "personal (~/.codex)", home.join(".codex/sessions")),
        source(Family::Codex, "managed", "managed (RemoteLab)", managed_codex_home.join("sessions")),
        source(Family::Claude, "personal", "personal (~/.claude)", home.join(".claude/projects")),
    ]
}

/// Reads all logs and adds up. Blocks. What cannot be read is as if it were not there.
#[must_use]
pub fn summarise(sources: &[Source], options: &Options) -> Summary {
    let days = i64::from(options.days);
    let start = options.now.checked_sub((days * 24).hours()).unwrap_or(Timestamp::MIN);
    let window = (start, options.now);
    let mut divided = Divided::new();
    let mut scanned = 0;
    let mut sessions = Vec::new();
    for source in sources {
        for file in files::logs(&source.folder) {
            let Ok(lines) = files::lines(&file) else { continue };
            scanned += 1;
            let mut reading = Reading::new(source, &file, window, &options.zone, &mut divided);
            match source.family {
                Family::Codex => codex::read(lines, &mut |entry: Entry| reading.take(entry)),
                Family::Claude => claude::read(lines, &mut |entry: Entry| reading.take(entry)),
            }
            sessions.extend(reading.end());
        }
    }
    sessions.sort_by(|a, b| {
        (b.tokens.total_tokens, &b.latest_timestamp, &b.file_path).cmp(&(
            a.tokens.total_tokens,
            &a.latest_timestamp,
            &a.file_path,
        ))
    });
    let tokens = sessions.iter().fold(Tokens::default(), |sum, session| sum.plus(&session.tokens));
    let latest = sessions
        .iter()
        .filter(|session| session.latest_secondary_used_percent.is_some())
        .max_by(|a, b| a.latest_secondary_timestamp.cmp(&b.latest_secondary_timestamp));
    let shares = |by: By, most: usize| shares(&divided, by, tokens.total_tokens, most);
    Summary {
        start_ms: start.as_millisecond(),
        end_ms: options.now.as_millisecond(),
        days: options.days,
        top: options.top,
        source: options.source.clone(),
        sessions_scanned: scanned,
        sessions_with_usage: sessions.len(),
        usage_event_count: sessions.iter().map(|session| session.usage_event_count).sum(),
        latest_secondary_used_percent: latest.and_then(|session| session.latest_secondary_used_percent),
        latest_secondary_timestamp: latest
            .map(|session| session.latest_secondary_timestamp.clone())
            .unwrap_or_default(),
        latest_secondary_source: latest.map(|session| session.source_label.clone()).unwrap_or_default(),
        by_source: shares(By::Source, usize::MAX),
        by_effort: shares(By::Effort, usize::MAX),
        by_model: shares(By::Model, usize::MAX),
        by_cwd: shares(By::Cwd, options.top),
        by_day: shares(By::Day, options.top),
        top_sessions: sessions.iter().take(options.top).cloned().collect(),
        sessions,
        tokens,
    }
}

fn shares(divided: &Divided, by: By, total: u64, most: usize) -> Vec<Share> {
    let of_kind = divided.iter().filter(|((kind, _), _)| *kind == by);
    let mut shares: Vec<Share> = of_kind
        .map(|((_, key), tokens)| Share {
            key: key.clone(),
            total_tokens: *tokens,
            share: if total == 0 { 0.0 } else { *tokens as f64 / total as f64 },
        })
        .collect();
    shares.sort_by(|a, b| b.total_tokens.cmp(&a.total_tokens).then_with(|| a.key.cmp(&b.key)));
    shares.truncate(most);
    shares
}

#[cfg(test)]
mod tests;
