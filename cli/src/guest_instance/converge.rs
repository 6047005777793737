//! `remotelab guest-instance converge`

use std::process::ExitCode;

use anyhow::Context;
use remotelab_manager::guests::{Convergence, Wanted};

use super::{Format, guests};
use crate::failure::Hinted;
use crate::place::{self, Place};
use crate::{output, progress};

/// Bring guests to this program, without changing what people see.
///
/// Name, port, host name, login, settings and memory of a guest stay; runs in progress go on. One guest goes first,
/// and nobody else is touched when it does not come up; then eight at a time. A guest that does not come up returns
/// to what it ran before. Service definitions of earlier versions are written for this program, the old ones being
/// kept beside them. The exit code is 1 when a guest is not as it is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guest, or several like `trial*`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// All guests.
    #[arg(long)]
    all: bool,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write service definitions, and leave what runs alone.
    #[arg(long)]
    no_restart: bool,
    /// Touch nobody else when so many guests did not come up.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    failures: u16,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    let program = place::program()?.canonicalize().context("cannot find the program that is running")?;
    let wanted = Wanted {
        which: arguments.name,
        program,
        dry_run: arguments.dry_run,
        no_restart: arguments.no_restart,
        failures: usize::from(arguments.failures),
    };
    let mut progress = progress::Line::new();
    let mut tell = |report: &Convergence| progress.say(&format!("{}: {}", report.name, report.status.word()));
    let converged = guests(&place)?.converge(&wanted, place.local().outside(), &mut tell)?;
    progress.clear();
    match (arguments.format.json, converged.reports.is_empty()) {
        (true, _) => output::json(&converged.json())?,
        (false, true) => output::line("There are no guest instances.")?,
        (false, false) => output::text(&converged.text())?,
    }
    if !converged.old_services.is_empty() && !arguments.format.json {
        let names = converged.old_services.join(", ");
        output::remark(&format!("{names}: another program runs still, until `remotelab restart`"));
    }
    if wanted.dry_run || converged.is_well() {
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.format.json {
        return Ok(ExitCode::FAILURE);
    }
    let first = converged.reports.iter().find(|report| report.error.is_some());
    let name = first.map_or("NAME", |report| report.name.as_str());
    Err(Hinted::new("not all guests run this program", format!("remotelab guest-instance logs {name}"))
        .into())
}
