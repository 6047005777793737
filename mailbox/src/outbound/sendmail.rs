//! Sending through the `sendmail` program of a mail server on this machine.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Dispatch;
use crate::settings::Outbound;
use crate::state::{Attempt, Failure};

/// Where mail servers put it.
pub(crate) const PROGRAM: &str = "/usr/sbin/sendmail";

/// It only queues.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The exit code of what may be tried again (`EX_TEMPFAIL` of sysexits.h), and those around it that say the
/// same of the machine.
const TEMPORARY: [i32; 4] = [71, 73, 74, 75];

pub(super) async fn send(outbound: &Outbound, dispatch: &Dispatch<'_>) -> Attempt {
    let bytes = match dispatch.letter.to_bytes(dispatch.unix_seconds, dispatch.files) {
        Ok(bytes) => bytes,
        Err(error) => return Attempt::Permanent(failure(error.to_string())),
    };
    let program = if outbound.path.is_empty() { PROGRAM } else { outbound.path.as_str() };
    let mut command = Command::new(program);
    // Recipients as arguments, and none of the text's: what stands in it is not ours.
    command.args(["-oi", "-f", &dispatch.letter.envelope_from().to_string(), "--"]);
    command.args(dispatch.letter.recipients().iter().map(ToString::to_string));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .current_dir("/")
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Attempt::Transient(failure(format!("{program} cannot be run: {error}"))),
    };
    if !(dispatch.before_text)().await {
        return Attempt::Transient(failure("the row could not be written".to_owned()));
    }
    let run = async {
        if let Some(mut input) = child.stdin.take() {
            // One that ends early says so by its exit code.
            let _ = input.write_all(&bytes).await;
            let _ = input.shutdown().await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(TIMEOUT, run).await {
        Ok(Ok(output)) => {
            let said: String = String::from_utf8_lossy(&output.stderr).chars().take(300).collect();
            match output.status.code() {
                Some(0) => Attempt::Accepted("0 queued".to_owned()),
                Some(code) if TEMPORARY.contains(&code) => Attempt::Transient(failure(said)),
                Some(_) => Attempt::Permanent(failure(said)),
                None => Attempt::Unknown(failure(said)),
            }
        }
        Ok(Err(error)) => Attempt::Unknown(failure(error.to_string())),
        Err(_) => Attempt::Unknown(failure(format!("{program} did not end in time"))),
    }
}

fn failure(text: String) -> Failure {
    let text = crate::message::one_line(&text, 300);
    Failure { code: 0, text: if text.is_empty() { "sendmail gave no reason".to_owned() } else { text } }
}
