//! What is wrong with an instance, and what helps. Everything is read; nothing is changed.

mod access;
mod disk;
mod records;
mod server;
mod tools;

use remotelab_config::InstancePaths;
use remotelab_protocol::tool::Tool;
use serde::Serialize;

/// The instance that is looked at.
#[derive(Clone, Debug)]
pub struct Patient {
    /// `owner` or the guest's name.
    pub name: String,
    /// Its folders.
    pub paths: InstancePaths,
    /// Where its chat server listens, where that is known.
    pub port: Option<u16>,
    /// The address that it listens on.
    pub bind_host: String,
    /// Whether it sleeps until somebody comes.
    pub asleep: bool,
    /// The executors that it knows, without the demo.
    pub executors: Vec<Tool>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Warn,
    /// Somebody has to do something.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How bad it is.
    pub status: Status,
    /// What was found, for people.
    pub message: String,
    /// A command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self { check, status, message: message.into(), fix: None }
    }

    fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// Looks at everything. Blocks, long where there is much.
#[must_use]
pub fn examine(patient: &Patient) -> Vec<Finding> {
    if !patient.paths.config().is_dir() {
        let missing = format!("{} does not exist", patient.paths.config().display());
        return vec![Finding::new("folders", Status::Fail, missing).with_fix("remotelab up")];
    }
    [
        access::token(patient),
        access::permissions(patient),
        server::running(patient),
        server::sockets(patient),
        records::damaged(patient),
        records::half_written(patient),
        tools::executors(patient),
        disk::room(patient),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Writes a path as one word of a shell.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;
