//! `remotelab set-password`

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use remotelab_config::auth::{self, Auth, Login};
use remotelab_config::{atomic, password};
use serde_json::json;

use crate::chosen::Which;
use crate::output;
use crate::place::Place;
use crate::verb::Failure;

/// No password needs more; a pipe could deliver without end.
const MAX_BYTES: u64 = 4096;

/// Set a user name and password beside the access token.
///
/// Asks for both on a terminal, without showing the password. `REMOTELAB_INSTANCE_ROOT` or
/// `REMOTELAB_CONFIG_DIR` choose an instance other than the owner's.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Print one JSON document.
    #[arg(long, display_order = 901)]
    json: bool,
    /// The user name.
    #[arg(long)]
    username: Option<String>,
    /// Read the password from standard input, to its end; one line end is dropped.
    #[arg(long)]
    password_stdin: bool,
}

impl Arguments {
    /// The same for one guest.
    pub(crate) fn for_guest(
        name: String,
        username: Option<String>,
        password_stdin: bool,
        json: bool,
    ) -> Self {
        Self { which: Which::named(Some(name)), json, username, password_stdin }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match set(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Ok(failure.report(arguments.json)),
    }
}

fn set(arguments: &Arguments) -> Result<(), Failure> {
    let chosen = arguments.which.find(&Place::find()?)?;
    let file = chosen.paths.auth();
    // Before anything is asked: a broken file is not replaced.
    match Auth::load(&file) {
        Ok(_) | Err(auth::Error::Missing(_)) => {}
        Err(error) => return Err(anyhow::Error::from(error).into()),
    }
    let login = ask(arguments)?;
    let username = login.username.clone();
    let saved = || -> anyhow::Result<()> {
        atomic::create_private_dir(chosen.paths.config())?;
        let mut auth = Auth::load_or_create(&file)?;
        auth.login = Some(login);
        Ok(auth.save(&file)?)
    };
    saved()?;
    if arguments.json {
        return Ok(output::json(&json!({"authFile": file, "username": username}))?);
    }
    Ok(output::line(&format!("Password set for user \"{username}\"."))?)
}

fn ask(arguments: &Arguments) -> Result<Login, Failure> {
    let (username, password) = if arguments.password_stdin {
        let username = arguments.username.as_deref().unwrap_or("owner").to_owned();
        (username, from_stdin()?)
    } else if io::stdin().is_terminal() {
        let username = match &arguments.username {
            Some(username) => username.clone(),
            None => prompt("User name: ")?,
        };
        (username, without_echo(|| prompt("Password: "))?)
    } else {
        let message = "there is no terminal to ask on; use --username and --password-stdin";
        return Err(Failure::usage(message));
    };
    let username = username.trim().to_owned();
    for (text, what) in [(&username, "user name"), (&password, "password")] {
        if text.is_empty() {
            return Err(Failure::usage(format!("the {what} is empty")));
        }
    }
    Ok(Login { username, password_hash: password::hash(&password) })
}

/// Reads a password that was piped in.
pub(crate) fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn prompt(question: &str) -> anyhow::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().take(MAX_BYTES).read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// Turns the terminal's echo off around a question, by the tool that every Unix has.
fn without_echo<T>(question: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    stty("-echo").context("cannot hide what is typed; use --password-stdin")?;
    let answer = question();
    stty("echo").context("cannot show what is typed again; type `stty echo`")?;
    output::line("")?;
    answer
}

fn stty(mode: &str) -> anyhow::Result<()> {
    let status = Command::new("stty").arg(mode).stdin(Stdio::inherit()).status()?;
    ensure!(status.success(), "stty {mode} failed");
    Ok(())
}
