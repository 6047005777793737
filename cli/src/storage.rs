//! `remotelab storage`

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use remotelab_store::housekeeping::{self, Kind, Plan, Pruned, Usage};

use crate::chosen::{Chosen, Which};
use crate::output;
use crate::place::Place;
use crate::verb::{Failure, duration};

/// How many files `prune` names before the rest is counted; `--json` names all.
const NAMED: usize = 20;

/// See what takes the room, and clear away what nobody needs.
///
/// Both work while the chat server runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The guest that it is about; without it the instance that the environment chooses.
    #[arg(long, global = true, value_name = "NAME", display_order = 900)]
    instance: Option<String>,
    /// Print one JSON document.
    #[arg(long, global = true, display_order = 901)]
    json: bool,
}

/// One command about room.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print what takes the room, and the largest sessions.
    Usage {
        /// How many sessions.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        top: u32,
    },
    Prune(Prune),
}

/// Clear away what nobody needs.
///
/// Nothing is cleared away without `--yes`. Session history, records of runs and runs under way are never
/// touched. `runs` is how executors were called and what they printed in runs that have ended, `logs` are those of
/// requests and of processes, `media` are files that no message names any longer, `cache` are copies of files
/// that are in an object storage, `conversations` are executors' own logs that no session goes on with, `copies`
/// is what a crash left of sessions that were being copied, `temporary` are half-written files that a crash left.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["dry_run", "yes"]))]
struct Prune {
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
    /// Clear it away.
    #[arg(long)]
    yes: bool,
    /// Only what has not changed for so long, like `90d` or `12h`.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration::parse)]
    older_than: Duration,
    /// Only these, separated by commas; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    what: Vec<What>,
}

/// What can be cleared away.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    Runs,
    Logs,
    Media,
    Cache,
    Conversations,
    Copies,
    Temporary,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match carry_out(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(Failure::from(error).report(arguments.json)),
    }
}

fn carry_out(arguments: &Arguments) -> anyhow::Result<()> {
    let chosen = Which::named(arguments.instance.clone()).find(&Place::find()?)?;
    match &arguments.command {
        Command::Usage { top } => {
            let usage = housekeeping::usage(&chosen.paths, usize::try_from(*top)?);
            if arguments.json { output::json(&usage) } else { output::text(&told(&usage)) }
        }
        Command::Prune(prune) => self::prune(&chosen, prune, arguments.json),
    }
}

fn prune(chosen: &Chosen, wanted: &Prune, as_json: bool) -> anyhow::Result<()> {
    let kinds = if wanted.what.is_empty() { What::value_variants() } else { &wanted.what };
    let plan = Plan {
        kinds: kinds.iter().map(|what| what.kind()).collect(),
        older_than: wanted.older_than,
        dry_run: wanted.dry_run,
        now: Timestamp::now(),
    };
    let pruned = housekeeping::prune(&chosen.paths, &plan);
    if as_json {
        return output::json(&serde_json::json!({
            "dryRun": wanted.dry_run, "bytes": pruned.bytes, "removed": pruned.removed, "skipped": pruned.skipped,
        }));
    }
    output::text(&report(&pruned, wanted.dry_run))
}

fn told(usage: &Usage) -> String {
    let mut lines = format!("total: {}\nfree: {}\n", size(usage.total_bytes), size(usage.free_bytes));
    let mut kinds: Vec<_> = usage.kinds.iter().collect();
    kinds.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (kind, bytes) in kinds {
        lines.push_str(&format!("{kind}: {}\n", size(*bytes)));
    }
    if !usage.sessions.is_empty() {
        lines.push_str("\nLargest sessions\n");
    }
    for room in &usage.sessions {
        lines.push_str(&format!("  {}  {}  {}\n", size(room.bytes), room.session_id, room.name));
    }
    lines
}

fn report(pruned: &Pruned, dry_run: bool) -> String {
    let mut lines = String::new();
    let more = |count: usize| match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("  and {more} more\n"),
    };
    for removed in pruned.removed.iter().take(NAMED) {
        lines.push_str(&format!("  {}  {}\n", size(removed.bytes), removed.path.display()));
    }
    lines.push_str(&more(pruned.removed.len()));
    if !pruned.skipped.is_empty() {
        lines.push_str("Skipped\n");
    }
    for skipped in pruned.skipped.iter().take(NAMED) {
        lines.push_str(&format!("  {}: {}\n", skipped.path.display(), skipped.reason));
    }
    lines.push_str(&more(pruned.skipped.len()));
    let verb = if dry_run { "would be cleared away" } else { "cleared away" };
    lines + &format!("{} files, {}, {verb}\n", pruned.removed.len(), size(pruned.bytes))
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

impl What {
    fn kind(self) -> Kind {
        match self {
            Self::Runs => Kind::Runs,
            Self::Logs => Kind::Logs,
            Self::Media => Kind::Media,
            Self::Cache => Kind::Cache,
            Self::Conversations => Kind::Conversations,
            Self::Copies => Kind::Copies,
            Self::Temporary => Kind::Temporary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
