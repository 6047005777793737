//! How a command that failed says so: one line on standard error, perhaps one to paste, and an exit code, mostly 1.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::verb::{Failure, Kind, redacted};

/// A failure with something that can be pasted into the shell.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    pub(crate) hint: String,
    code: u8,
    as_json: bool,
}

impl Hinted {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), code: 1, as_json: false }
    }

    /// Another exit code than 1.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Whether the command line is what is wrong.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == Kind::Usage as u8
    }

    /// Whether it is told as one line of JSON.
    pub(crate) fn in_json(self, as_json: bool) -> Self {
        Self { as_json, ..self }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Prints an error with its causes on one line.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(hinted) = error.downcast_ref::<Hinted>().filter(|hinted| hinted.as_json) {
        return Failure::usage(&hinted.message).with_hint(&hinted.hint).report(true);
    }
    let mut stderr = std::io::stderr().lock();
    let line = redacted(&one_line(error));
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(stderr, "error: {line}");
    if let Some(hinted) = error.downcast_ref::<Hinted>() {
        let _ = writeln!(stderr, "try: {}", hinted.hint);
        return ExitCode::from(hinted.code);
    }
    ExitCode::FAILURE
}

fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string().replace('\n', " ");
        if parts.last() != Some(&text) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_stand_on_the_same_line_and_once() {
        let error = Err::<(), _>(anyhow::anyhow!("disk\nis full"))
            .context("cannot write x")
            .context("cannot write x")
            .unwrap_err();
        assert_eq!(one_line(&error), "cannot write x: disk is full");
    }
}
