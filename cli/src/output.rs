//! Results go to standard output. A reader that went away ends the command, without a fuss.

use std::io::{self, Write};

use serde::Serialize;

/// Prints text as it is.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    quiet_when_nobody_reads(write(text.as_bytes()))
}

/// Prints a line.
pub(crate) fn line(line: &str) -> anyhow::Result<()> {
    text(&format!("{line}\n"))
}

/// Prints one JSON document, two-space indent.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Says something beside the result, on standard error.
pub(crate) fn remark(line: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn quiet_when_nobody_reads(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
