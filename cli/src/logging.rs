//! Logs go to standard error as plain text; `RUST_LOG` chooses how much.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets logging up for a process that runs until it is told to end.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        // A log that cannot be written, for its reader died, must not end the process that logs.
        .log_internal_errors(false)
        .init();
}
