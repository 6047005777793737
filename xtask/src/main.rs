//! `cargo xtask …`: one plain word for each job of a contributor.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]

mod bench;
mod check;
mod command;
mod modules;
mod screenshots;
mod setup;
mod tally;
mod tests;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <job>

Jobs:
  setup        install what checks, tests and benches need, where it is missing
  check        formatting, lints, licences and bans, types of the web UI, test modules
  test         setup, check and every test, on the real binary, executors and browser
  test --fast  unit and component tests alone
  bench        measure the release build beside nginx and HAProxy
  screenshots  make the pictures of docs/ again";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setup"] => setup::everything(),
        ["check"] => setup::for_checks().and_then(|()| check::all()),
        ["test"] => tests::everything(),
        ["test", "--fast"] => tests::fast(),
        ["bench"] => bench::all(),
        ["screenshots"] => screenshots::make(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
