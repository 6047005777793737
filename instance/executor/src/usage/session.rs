//! Adding up one log.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use remotelab_protocol::{reply, time};
use serde::Serialize;

use super::entry::{Context, Entry, Tokens};
use super::{By, Divided, Source};

/// The longest preview, in characters.
const PREVIEW: usize = 220;

/// Beginnings of texts that programs put into a person's mouth.
const BOILERPLATE: &[&str] = &[
    "<environment_context>",
    "<user_instructions>",
    "<permissions",
    "<command-",
    "<local-command",
    "# AGENTS.md",
];

/// What one session used in the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionUsage {
    /// The executor's own id of it.
    pub session_id: String,
    /// Its log.
    pub file_path: String,
    /// `personal` or `managed`.
    pub source: &'static str,
    /// What people call that.
    pub source_label: String,
    /// All that it used.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// How many times.
    pub usage_event_count: usize,
    /// What most of it was used with.
    pub model: String,
    /// See `model`.
    pub effort: String,
    /// See `model`.
    pub cwd: String,
    /// How its last question began.
    pub prompt_preview: String,
    /// When it used something last.
    pub latest_timestamp: String,
    /// The same in Unix milliseconds.
    pub latest_timestamp_ms: i64,
    /// How much of the weekly limit was used then.
    pub latest_secondary_used_percent: Option<f64>,
    /// When that was said.
    pub latest_secondary_timestamp: String,
    /// How full its context was at most.
    pub peak_context_tokens: u64,
    /// How large that is.
    pub context_window_tokens: u64,
    /// What it used on each day.
    pub daily_totals: BTreeMap<String, u64>,
}

/// Adds up one log as its lines come.
pub(super) struct Reading<'a> {
    usage: SessionUsage,
    own: Divided,
    cwd: String,
    model: String,
    effort: String,
    window: (Timestamp, Timestamp),
    zone: &'a TimeZone,
    divided: &'a mut Divided,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        source: &Source,
        file: &Path,
        window: (Timestamp, Timestamp),
        zone: &'a TimeZone,
        divided: &'a mut Divided,
    ) -> Self {
        let usage = SessionUsage {
            session_id: session_id(file),
            file_path: file.display().to_string(),
            source: source.kind,
            source_label: source.label.clone(),
            tokens: Tokens::default(),
            usage_event_count: 0,
            model: String::new(),
            effort: String::new(),
            cwd: String::new(),
            prompt_preview: String::new(),
            latest_timestamp: String::new(),
            latest_timestamp_ms: 0,
            latest_secondary_used_percent: None,
            latest_secondary_timestamp: String::new(),
            peak_context_tokens: 0,
            context_window_tokens: 0,
            daily_totals: BTreeMap::new(),
        };
        Self {
            usage,
            own: Divided::new(),
            cwd: String::new(),
            model: String::new(),
            effort: String::new(),
            window,
            zone,
            divided,
        }
    }

    pub(super) fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Turn { cwd, model, effort } => {
                let set = |place: &mut String, value: Option<String>| {
                    if let Some(value) = value {
                        *place = value;
                    }
                };
                set(&mut self.cwd, cwd);
                set(&mut self.model, model);
                set(&mut self.effort, effort);
            }
            Entry::Prompt(text) => {
                if let Some(preview) = preview(&text) {
                    self.usage.prompt_preview = preview;
                }
            }
            Entry::Used { at, tokens, context } => self.used(at, tokens, &context),
        }
    }

    /// Ends the log; `None` when nothing was used in the window.
    pub(super) fn end(mut self) -> Option<SessionUsage> {
        if self.usage.usage_event_count == 0 {
            return None;
        }
        let most = |by: By| {
            let of_kind = self.own.iter().filter(|((kind, _), _)| *kind == by);
            of_kind.max_by_key(|(_, tokens)| **tokens).map(|((_, key), _)| key.clone()).unwrap_or_default()
        };
        self.usage.model = most(By::Model);
        self.usage.effort = most(By::Effort);
        self.usage.cwd = most(By::Cwd);
        Some(self.usage)
    }

    fn used(&mut self, at: Timestamp, tokens: Tokens, context: &Context) {
        let (start, end) = self.window;
        if at < start || at > end {
            return;
        }
        let usage = &mut self.usage;
        if let Some(percent) = context.secondary_percent {
            usage.latest_secondary_used_percent = Some(percent);
            usage.latest_secondary_timestamp = time::iso(at);
        }
        if tokens.is_none() {
            return;
        }
        usage.tokens = usage.tokens.plus(&tokens);
        usage.usage_event_count += 1;
        usage.latest_timestamp = time::iso(at);
        usage.latest_timestamp_ms = at.as_millisecond();
        usage.peak_context_tokens = usage.peak_context_tokens.max(context.tokens);
        usage.context_window_tokens = usage.context_window_tokens.max(context.window);
        let day = at.to_zoned(self.zone.clone()).date().to_string();
        *usage.daily_totals.entry(day.clone()).or_default() += tokens.total_tokens;
        let or = |text: &str, unknown: &str| if text.is_empty() { unknown } else { text }.to_owned();
        for key in [
            (By::Source, usage.source_label.clone()),
            (By::Effort, or(&self.effort, "(none)")),
            (By::Model, or(&self.model, "(unknown)")),
            (By::Cwd, or(&self.cwd, "(unknown)")),
            (By::Day, day),
        ] {
            *self.own.entry(key.clone()).or_default() += tokens.total_tokens;
            *self.divided.entry(key).or_default() += tokens.total_tokens;
        }
    }
}

/// The id at the end of a log's name: a whole UUID, else what follows the last dash.
fn session_id(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let at = name.char_indices().rev().nth(35).map(|(at, _)| at);
    let uuid = at.map(|at| &name[at..]).filter(|id| {
        id.char_indices()
            .all(|(at, c)| if matches!(at, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() })
    });
    uuid.unwrap_or_else(|| name.rsplit('-').next().unwrap_or_default()).to_owned()
}

/// The beginning of what a person asked; `None` for what programs put in.
fn preview(text: &str) -> Option<String> {
    let shown = reply::visible_text(text);
    let shown = shown.trim();
    if shown.is_empty() || BOILERPLATE.iter().any(|start| shown.starts_with(start)) {
        return None;
    }
    let words: Vec<&str> = shown.split_whitespace().collect();
    Some(words.join(" ").chars().take(PREVIEW).collect())
}
