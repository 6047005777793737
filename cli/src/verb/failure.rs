//! How a verb that failed says so: one line, and an exit code by what happened.

use std::io::Write;
use std::process::ExitCode;

use remotelab_client::Error;
use serde_json::json;

/// What went wrong, as the exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The instance refused, or the answer cannot be used.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nobody answers.
    Unreachable = 3,
    /// The token is missing or not accepted.
    NotAllowed = 4,
    /// The wait ended; the work goes on.
    StillRunning = 5,
    RunFailed = 6,
    RunCancelled = 7,
    /// SIGINT or SIGTERM, as a shell tells of them.
    Interrupted = 130,
}

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    message: String,
    status: Option<u16>,
    hint: Option<String>,
    retryable: bool,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), status: None, hint: None, retryable: false }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Says what may help.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells whether that is how the reason begins.
    pub(crate) fn says(&self, beginning: &str) -> bool {
        self.message.starts_with(beginning)
    }

    /// Names the address that did not answer.
    pub(crate) fn at(mut self, base: &str) -> Self {
        if self.kind == Kind::Unreachable && self.status.is_none() {
            self.message = format!("cannot reach RemoteLab at {base}: {}", self.message);
        }
        self
    }

    pub(crate) fn report(&self, as_json: bool) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        let message = redacted(&self.message.replace('\n', " "));
        // Nobody is left to tell when standard error is gone.
        let _ = if as_json {
            let code = format!("{:?}", self.kind);
            let error = json!({
                "code": code, "message": message, "status": self.status, "hint": self.hint, "retryable": self.retryable,
            });
            writeln!(stderr, "{}", json!({"error": error}))
        } else {
            let hint = self.hint.as_ref().map(|hint| format!("try: {hint}\n")).unwrap_or_default();
            write!(stderr, "error: {message}\n{hint}")
        };
        self.code()
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let retryable = error.is_transient();
        let status = error.status().map(|status| status.as_u16());
        let (kind, message, hint) = match &error {
            Error::Setup(_) => (Kind::Unreachable, error.to_string(), None),
            Error::Unreachable { source, .. } => {
                (Kind::Unreachable, cause(source), Some("remotelab up".to_owned()))
            }
            Error::Token(source) => {
                let generate = "remotelab generate-token".to_owned();
                (Kind::NotAllowed, source.to_string(), Some(generate))
            }
            Error::TokenRefused | Error::OtherInstance => (Kind::NotAllowed, error.to_string(), None),
            Error::Refused { status, message, .. } => {
                let kind =
                    if matches!(status.as_u16(), 401 | 403) { Kind::NotAllowed } else { Kind::Refused };
                (kind, said(status.as_u16(), message), None)
            }
            Error::TooLarge { .. } | Error::Malformed { .. } => (Kind::Refused, error.to_string(), None),
        };
        Self { kind, message, status, hint, retryable }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Refused, format!("{error:#}"))
    }
}

/// What the instance said, or that something else stands in its place.
fn said(status: u16, message: &str) -> String {
    if message.is_empty() {
        format!("RemoteLab request failed ({status})")
    } else if message.starts_with('<') {
        format!("a page came back instead of RemoteLab's answer ({status})")
    } else {
        message.to_owned()
    }
}

/// The innermost cause, which is what the operating system said.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Takes out what has the form of an access token: failures end in transcripts and logs.
pub(crate) fn redacted(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_hexdigit();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_hex) {
        let length = rest[start..].find(|c| !is_hex(c)).unwrap_or(rest.len() - start);
        shown.push_str(&rest[..start]);
        shown.push_str(if length == 64 { "[redacted]" } else { &rest[start..start + length] });
        rest = &rest[start + length..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_told() {
        let token = "0123456789abcdef".repeat(4);
        assert_eq!(redacted(&format!("GET /?token={token}&x")), "GET /?token=[redacted]&x");
        assert_eq!(redacted("run_0123 é beef"), "run_0123 é beef");
    }

    #[test]
    fn a_page_of_somebody_else_is_not_repeated() {
        assert_eq!(said(502, "<html>Bad gateway"), "a page came back instead of RemoteLab's answer (502)");
        assert_eq!(said(500, ""), "RemoteLab request failed (500)");
        assert_eq!(said(409, "Session is archived"), "Session is archived");
    }
}
