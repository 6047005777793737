//! What a convergence came to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use remotelab_config::InstanceName;
use serde::Serialize;
use serde_json::Value;

use super::Drift;
use super::target::Target;
use crate::definition::Definition;
use crate::operation::Refreshed;

/// What it came to with all guests.
#[derive(Clone, Debug, PartialEq)]
pub struct Converged {
    /// One for each guest, in natural order of their names.
    pub reports: Vec<Convergence>,
    /// The services that run another program still. They are no guests.
    pub old_services: Vec<String>,
}

/// What it came to with one guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Convergence {
    /// Its name.
    pub name: InstanceName,
    /// What its service manager calls it.
    pub label: String,
    /// Its port.
    pub port: u16,
    /// Its host name.
    pub hostname: String,
    /// Its base on this machine.
    pub local_base_url: String,
    /// Its base outside.
    pub public_base_url: String,
    /// Its service definition.
    pub launch_agent_path: PathBuf,
    /// What it ran.
    pub previous_chat_server_path: PathBuf,
    /// In which folder.
    pub previous_working_directory: PathBuf,
    /// What it is to run.
    pub next_chat_server_path: PathBuf,
    /// In which folder.
    pub next_working_directory: PathBuf,
    /// Whether anything differs.
    pub changed: bool,
    /// What differs.
    pub drift: Drift,
    /// Whether its tools or its choice of one differ.
    pub runtime_defaults_changed: bool,
    /// Whether its tools differ.
    pub runtime_tools_changed: bool,
    /// Whether its choice differs.
    pub runtime_selection_changed: bool,
    /// The owner's tools that it has.
    pub runtime_tool_ids: Vec<String>,
    /// The tool that it begins with.
    pub runtime_selected_tool: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Whether it was started anew and came up.
    pub restarted: bool,
    /// Where the old definition is.
    pub backup_path: PathBuf,
    /// Whether it answered afterwards.
    pub local_reachable: bool,
    /// What came of it.
    pub status: Status,
    /// Why it did not come up.
    pub error: Option<String>,
}

/// What came of one guest, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It would be changed.
    Planned,
    /// Its definition was written.
    Updated,
    /// It runs this program now.
    #[serde(rename = "updated+restarted")]
    Restarted,
    /// There was nothing to do.
    AlreadyCurrent,
    /// It does not run, and takes this program when it is started.
    NotRunning,
    /// It did not come up, and runs what it ran before.
    Returned,
    /// It did not come up, nor with what it ran before.
    Failed,
    /// Too many others did not come up: it was left as it is.
    Left,
}

impl Convergence {
    pub(super) fn of(target: &Target, refreshed: &Refreshed) -> Self {
        let record = &target.record;
        Self {
            name: record.name.clone(),
            label: record.label.clone(),
            port: record.port,
            hostname: record.hostname.clone(),
            local_base_url: record.local_base_url.clone(),
            public_base_url: record.public_base_url.clone(),
            launch_agent_path: record.launch_agent_path.clone(),
            previous_chat_server_path: PathBuf::new(),
            previous_working_directory: PathBuf::new(),
            next_chat_server_path: PathBuf::new(),
            next_working_directory: PathBuf::new(),
            changed: false,
            drift: Drift::default(),
            runtime_defaults_changed: refreshed.tools_changed || refreshed.selection_changed,
            runtime_tools_changed: refreshed.tools_changed,
            runtime_selection_changed: refreshed.selection_changed,
            runtime_tool_ids: refreshed.tools.clone(),
            runtime_selected_tool: refreshed.selected.clone(),
            dry_run: false,
            restarted: false,
            backup_path: PathBuf::new(),
            local_reachable: false,
            status: Status::AlreadyCurrent,
            error: None,
        }
    }

    pub(super) fn set_paths(&mut self, found: &Definition, next: &Definition) {
        self.label.clone_from(&found.label);
        self.launch_agent_path.clone_from(&found.path);
        self.previous_chat_server_path = found.program().to_owned();
        self.previous_working_directory.clone_from(&found.folder);
        self.next_chat_server_path = next.program().to_owned();
        self.next_working_directory.clone_from(&next.folder);
    }

    /// Whether it is as it is to be, or was never meant to change.
    pub(super) fn is_well(&self) -> bool {
        !matches!(self.status, Status::Returned | Status::Failed)
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{key}: {value}");
            }
        };
        put("name", self.name.as_str());
        put("status", &self.status.word());
        put("port", &self.port.to_string());
        put("local", &self.local_base_url);
        put("public", &self.public_base_url);
        put("from", &self.previous_chat_server_path.to_string_lossy());
        put("to", &self.next_chat_server_path.to_string_lossy());
        put("backup", &self.backup_path.to_string_lossy());
        if self.restarted || !self.is_well() {
            put("localStatus", if self.local_reachable { "reachable" } else { "failed" });
        }
        put("error", self.error.as_deref().unwrap_or_default());
        text
    }
}

impl Status {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> String {
        let word = serde_json::to_value(self).unwrap_or_default();
        word.as_str().unwrap_or_default().to_owned()
    }
}

impl Converged {
    /// For people: a block for each guest and, of several, a summary.
    #[must_use]
    pub fn text(&self) -> String {
        let mut blocks: Vec<String> = self.reports.iter().map(Convergence::text).collect();
        if self.reports.len() > 1 {
            blocks.push(self.summary());
        }
        blocks.join("\n")
    }

    /// How many guests there are of each status, and which.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut by_status: BTreeMap<Status, Vec<&str>> = BTreeMap::new();
        for report in &self.reports {
            by_status.entry(report.status).or_default().push(report.name.as_str());
        }
        let lines = by_status.iter().map(|(status, names)| {
            format!("{:<18}{:>5}  {}\n", status.word(), names.len(), names.join(", "))
        });
        lines.collect()
    }

    /// Whether every guest is as it is to be.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.reports.iter().all(|report| report.is_well() && report.status != Status::Left)
    }
}
