//! `remotelab doctor`

use std::process::ExitCode;

use remotelab_executor::catalogue::{Catalogue, CatalogueOptions};
use remotelab_executor::demo;
use remotelab_manager::control::{Client, State};
use remotelab_manager::doctor::{self, Finding, Patient, Status};
use serde_json::json;

use crate::chosen::Which;
use crate::output;
use crate::place::{self, Place};
use crate::verb::Failure;

/// Look for what is wrong with an instance, and say what helps.
///
/// It reads records, permissions, executors, the server, the disk and what was left behind, and changes
/// nothing. The exit code is 1 when somebody has to do something.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Print one JSON document.
    #[arg(long, display_order = 901)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    examine(arguments).or_else(|error| Ok(Failure::from(error).report(arguments.json)))
}

fn examine(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    let chosen = arguments.which.find(&place)?;
    let (name, paths) = (chosen.name.clone(), place.paths());
    let executors = Catalogue::new(CatalogueOptions {
        paths: chosen.paths.clone(),
        home: chosen.settings.home.clone(),
        env: place.env,
        program: place::program()?,
    })
    .list();
    let executors = executors.into_iter().filter(|tool| !demo::is_demo(tool)).collect();
    let children = Client::new(&paths.supervisor_socket()).status().unwrap_or_default();
    let findings = doctor::examine(&Patient {
        asleep: children.iter().any(|child| child.name == name && child.state == State::Asleep),
        name: chosen.name,
        paths: chosen.paths,
        port: chosen.port,
        bind_host: chosen.settings.bind_host,
        executors,
    });
    let is_well = findings.iter().all(|finding| finding.status != Status::Fail);
    if arguments.json {
        output::json(&json!({"instance": name, "ok": is_well, "findings": findings}))?;
    } else {
        output::text(&findings.iter().map(line).collect::<String>())?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(finding: &Finding) -> String {
    let word = match finding.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    let fix = finding.fix.as_ref().map(|fix| format!("      try: {fix}\n")).unwrap_or_default();
    format!("{word}  {}\n{fix}", finding.message)
}
