//! Results go to standard output. A reader that went away ends the command, without a fuss.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::OnceLock;

use serde::Serialize;

/// Tokens, once they must not be printed.
static CONCEALED: OnceLock<Vec<String>> = OnceLock::new();

/// Keeps secrets out of everything that is printed from now on.
pub(crate) fn conceal(secrets: Vec<String>) {
    let _ = CONCEALED.set(secrets);
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut text = Cow::Borrowed(text);
    for secret in CONCEALED.get().into_iter().flatten().filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, "[redacted]").into();
        }
    }
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
