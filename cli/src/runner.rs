//! The hidden commands by which a server starts executors.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use remotelab_config::Env;

use crate::logging;

/// `remotelab runner <run-dir>`
pub(crate) fn run(run_dir: &Path) -> ExitCode {
    logging::start();
    remotelab_executor::runner::main(run_dir, Env::of_process())
}

/// `remotelab demo-executor`
pub(crate) fn demo() -> anyhow::Result<()> {
    remotelab_executor::demo::main(io::stdin().lock(), io::stdout().lock()).context("the demo cannot answer")
}
