//! The hidden commands by which a server starts executors.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use remotelab_config::Env;

use crate::logging;

/// Returns the run when these are the arguments with which a server starts a runner. Each run waits for it, and
/// to parse them among all that can be typed takes longer than all else that a runner does.
pub(crate) fn asked_for(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let arguments: Vec<OsString> = arguments.skip(1).take(3).collect();
    let [word, run_dir] = arguments.as_slice() else { return None };
    let run_dir = Path::new(run_dir);
    (word == remotelab_executor::runner::SUBCOMMAND && run_dir.is_absolute()).then(|| run_dir.to_owned())
}

/// `remotelab runner <run-dir>`
pub(crate) fn run(run_dir: &Path) -> ExitCode {
    logging::start();
    remotelab_executor::runner::main(run_dir, Env::of_process())
}

/// `remotelab demo-executor`
pub(crate) fn demo() -> anyhow::Result<()> {
    remotelab_executor::demo::main(io::stdin().lock(), io::stdout().lock()).context("the demo cannot answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_says_is_taken_for_its_words() {
        let asked = |line: &str| asked_for(line.split(' ').map(OsString::from));
        assert_eq!(asked("remotelab runner /x/run_1"), Some(PathBuf::from("/x/run_1")));
        for other in [
            "remotelab",
            "remotelab runner",
            "remotelab runner --help",
            "remotelab run /x",
            "remotelab runner /x y",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
