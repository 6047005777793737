//! `remotelab usage-summary`

use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use remotelab_executor::usage::{self, Family, Options};

use crate::chosen::Which;
use crate::output;
use crate::place::Place;
use crate::verb::Failure;

/// Add up what executors used, from the logs that they keep.
///
/// It covers `codex` and `claude` in your own home and the runs of the instance. Guests share your `claude`
/// logs; with `--instance`, only the guest's own are counted unless `--source` says otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many days back.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How many rows of each long list.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    top: u32,
    /// Whose logs: your own, those of runs, or both; both by default.
    #[arg(long, value_enum)]
    source: Option<Source>,
    /// The end of the window, such as `2026-11-22` or `2026-11-22T10:00:00Z`; now by default.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    now: Option<Timestamp>,
    #[command(flatten)]
    which: Which,
    /// Print one JSON document.
    #[arg(long, display_order = 901)]
    json: bool,
}

/// Whose logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    All,
    Personal,
    Managed,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match summarise(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(Failure::from(error).report(arguments.json)),
    }
}

fn summarise(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    let chosen = arguments.which.find(&place)?;
    let is_guest = arguments.which.is_named();
    let source = arguments.source.unwrap_or(if is_guest { Source::Managed } else { Source::All });
    let name = source.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut sources = usage::sources(&place.home, &chosen.paths.managed_codex_home());
    sources.retain(|known| source == Source::All || known.kind == name);
    let zone = TimeZone::system();
    let summary = usage::summarise(
        &sources,
        &Options {
            now: arguments.now.unwrap_or_else(Timestamp::now),
            days: arguments.days,
            top: usize::try_from(arguments.top)?,
            source: name,
            zone: zone.clone(),
        },
    );
    if arguments.json {
        return output::json(&summary);
    }
    let of_claude =
        sources.iter().filter(|source| source.family == Family::Claude).map(|source| &source.label);
    let with_claude =
        of_claude.into_iter().any(|label| summary.by_source.iter().any(|share| share.key == *label));
    let families = if with_claude { "Codex and Claude" } else { "Codex" };
    output::text(&usage::text(&summary, &zone, families))
}

/// Reads a time; without a zone it is local.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("\"{text}\" is no time; write it like 2026-11-22 or 2026-11-22T10:00:00Z");
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let local: civil::DateTime = text.parse().map_err(|_| wrong())?;
    local.to_zoned(TimeZone::system()).map(|time| time.timestamp()).map_err(|_| wrong())
}
