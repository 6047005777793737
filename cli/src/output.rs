//! Results go to standard output. A reader that went away ends the command, without a fuss.

use std::io::{self, Write};
use std::sync::OnceLock;

use serde::Serialize;

/// The owner token, once it must not be printed.
static CONCEALED: OnceLock<String> = OnceLock::new();

/// Keeps a secret out of everything that is printed from now on.
pub(crate) fn conceal(secret: String) {
    let _ = CONCEALED.set(secret);
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let printed = match CONCEALED.get() {
        Some(secret) if text.contains(secret) => write(text.replace(secret, "[redacted]").as_bytes()),
        _ => write(text.as_bytes()),
    };
    quiet_when_nobody_reads(printed)
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
