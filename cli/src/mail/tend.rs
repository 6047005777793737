//! Looking at stored mail, and what can be done with it beside judging it.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use remotelab_mailbox::{Desk, Outgoing, Queue as Shown};

use super::Instance;
use super::letters::shown;
use crate::output;

/// The seconds of a day.
const DAY: u64 = 24 * 3600;

/// List mail of all queues, the newest first.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// `all`, `review`, `quarantine` or `approved`.
    #[arg(default_value = "all", value_parser = shown)]
    queue: Shown,
    /// How many, at most.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    #[command(flatten)]
    instance: Instance,
}

/// List letters, the newest first.
///
/// Answers for people whom an instance does not know are held until `release` lets them go.
#[derive(Debug, clap::Args)]
pub(super) struct Outbox {
    /// Only these: `held`, `pending`, `sending`, `sent`, `sent_unconfirmed` or `dead`.
    #[arg(value_parser = state)]
    state: Option<Outgoing>,
    /// How many, at most.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    #[command(flatten)]
    instance: Instance,
}

/// Print all that is known of a mail: what its header says, its text, its history, its answer.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The mail's id, as `list` prints it.
    id: String,
    /// Print the mail as it came instead.
    #[arg(long)]
    raw: bool,
}

/// One mail.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Its id, as `list` prints it.
    pub(super) id: String,
}

/// Delete old mail that is done with: answered, rejected, held or noted.
///
/// What failed or waits is kept. Nothing is ever deleted without this command.
#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// How old it must be, like `90d`.
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Duration,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn list(desk: &Desk, list: &List) -> anyhow::Result<()> {
    output::json(&desk.list(list.queue, list.instance.name()?.as_ref(), list.limit)?)
}

pub(super) fn outbox(desk: &Desk, outbox: &Outbox) -> anyhow::Result<()> {
    output::json(&desk.letters(outbox.state, outbox.instance.name()?.as_ref(), outbox.limit)?)
}

pub(super) fn show(desk: &Desk, show: &Show) -> anyhow::Result<()> {
    if show.raw {
        let raw = desk.raw(&show.id)?;
        return io::stdout().lock().write_all(&raw).context("cannot write the mail");
    }
    output::json(&desk.show(&show.id)?)
}

pub(super) fn prune(desk: &Desk, prune: &Prune) -> anyhow::Result<()> {
    output::json(&desk.prune(prune.older_than, prune.instance.name()?.as_ref(), prune.dry_run)?)
}

fn state(text: &str) -> Result<Outgoing, &'static str> {
    Outgoing::parse(text).ok_or("it is none of held, pending, sending, sent, sent_unconfirmed, dead")
}

fn days(text: &str) -> Result<Duration, &'static str> {
    let days: Option<u64> = text.strip_suffix('d').unwrap_or(text).parse().ok();
    let seconds =
        days.and_then(|days| days.checked_mul(DAY)).filter(|seconds| *seconds < u64::from(u32::MAX));
    seconds.map(Duration::from_secs).ok_or("it is a number of days, like 90d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_with_and_without_their_letter() {
        assert_eq!(days("90d"), Ok(Duration::from_secs(90 * DAY)));
        assert_eq!(days("1"), Ok(Duration::from_secs(DAY)));
        assert!(["", "d", "-1d", "1w", "99999999999999999999d"].iter().all(|text| days(text).is_err()));
    }
}
