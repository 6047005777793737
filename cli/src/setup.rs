//! `remotelab setup`

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use remotelab_manager::setup::{Answers, Machine, Mode, Service, run as set_up};

use crate::failure::Hinted;
use crate::output;
use crate::place::{self, Place};

/// Set RemoteLab up on this machine: how people come in, a host name, a service that starts it.
///
/// Asks for what it must know, or takes it from a file. It can be called as often as one likes: what is as it is to be
/// is kept, and files that somebody else has written are left alone. What only a person can do is said at the end as
/// `left to you`. The exit code is 0 also then.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Take the answers from this TOML file, and ask nothing.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document, and ask nothing.
    #[arg(long, requires = "answers")]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    let answers = match &arguments.answers {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            toml::from_str(&text).with_context(|| format!("cannot use {}", file.display()))?
        }
        None => ask()?,
    };
    let answers = answers
        .complete()
        .map_err(|error| Hinted::new(error.to_string(), "remotelab setup --help").with_code(2))?;
    let paths = place.paths();
    let program = place::program()?;
    let machine = Machine { paths: &paths, env: &place.env, program: &program, dry_run: arguments.dry_run };
    let report = set_up(&machine, &answers)?;
    if arguments.json {
        output::json(&report.json())?;
    } else {
        output::text(&report.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks on standard error and reads lines from standard input.
fn ask() -> anyhow::Result<Answers> {
    let way = question("How do people come in? cloudflare, tailscale, lan, localhost, cpolar", "localhost")?;
    let mode = match way.as_str() {
        "cloudflare" => Mode::Cloudflare,
        "tailscale" => Mode::Tailscale,
        "lan" => Mode::Lan,
        "localhost" => Mode::Localhost,
        "cpolar" => Mode::Cpolar,
        other => bail!("{other:?} is none of them"),
    };
    let mut answers = Answers { mode, ..Answers::default() };
    if answers.mode == Mode::Cloudflare {
        answers.domain = question("Which domain of yours, at Cloudflare?", "")?;
        answers.hostname = question("Your own host name", &format!("remotelab.{}", answers.domain))?;
    }
    answers.service = match question("Start with the machine? yes, no", "yes")?.as_str() {
        "yes" => Service::Systemd,
        "no" => Service::None,
        other => bail!("{other:?} is neither yes nor no"),
    };
    answers.mailbox = question("The address for mail to RemoteLab, or nothing", "")?;
    Ok(answers)
}

fn question(text: &str, default: &str) -> anyhow::Result<String> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    write!(io::stderr().lock(), "{text}{shown}: ").context("nobody can be asked")?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line).context("the answer cannot be read")? == 0 {
        bail!("the answers end too early; give them with --answers");
    }
    let answer = line.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}
