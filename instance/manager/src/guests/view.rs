//! One guest as commands show it: as text for people and as JSON for scripts.

use std::fmt::Write;

use remotelab_config::registry::{Record, State};
use serde_json::{Map, Value, json};

use crate::control::Child;

use super::links::{access, local_base, public_base};
use super::reach::{Class, Reached};

/// What is known of one guest.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its registry record.
    pub record: Record,
    /// Its mail address, or empty.
    pub mailbox: String,
    /// Base of its path-prefix links from outside, or empty.
    pub bridge_base: String,
    /// Base of its links through the local front door, while one runs and there is none from outside.
    pub gateway_base: Option<String>,
    /// Its token, where it is known and may be shown.
    pub token: Option<String>,
    /// What is wrong with its files.
    pub problem: Option<String>,
    /// What runs for it, where something keeps guests running and knows it.
    pub process: Option<Child>,
    /// Whether it sleeps until somebody comes.
    pub asleep: bool,
    /// What came of asking it by every way, if it was asked.
    pub reached: Option<Reached>,
    /// Whether it answered on its own port, or is known to listen there.
    pub local_reachable: Option<bool>,
    /// Whether it answered under its host name, if it was asked.
    pub public_reachable: Option<bool>,
}

/// What a create came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The new guest.
    pub view: View,
    /// `unconfigured` or `skipped`: the routes at the mail provider are left to the operator.
    pub mail_routing_status: &'static str,
    /// Why.
    pub mail_routing_detail: &'static str,
    /// How the mail provider has to route its address, or empty.
    pub mail_route_model: &'static str,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl View {
    /// `running`, `asleep`, `stopped`, `unknown`, `creating`, `deleting` or `error`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match (self.record.state, &self.problem, self.local_reachable) {
            (State::Creating, ..) => "creating",
            (State::Deleting, ..) => "deleting",
            (_, Some(_), _) => "error",
            _ if self.asleep => "asleep",
            (_, _, Some(true)) => "running",
            (_, _, Some(false)) => "stopped",
            (_, _, None) => "unknown",
        }
    }

    /// The link to hand out: by host name, else by prefix from outside, else on this machine.
    #[must_use]
    pub fn access_url(&self) -> String {
        let bases = [self.public_base(), self.bridge_base.clone(), self.local_base()];
        let first = bases.iter().find(|base| !base.is_empty());
        first.map(|base| self.link(base)).unwrap_or_default()
    }

    /// One line of `list`.
    #[must_use]
    pub fn list_line(&self) -> String {
        let host = match self.record.hostname.as_str() {
            "" => "local-only",
            hostname => hostname,
        };
        let mut line = format!("{}\t{}\t{host}\t{}", self.record.name, self.record.port, self.status());
        if let Some(problem) = &self.problem {
            let _ = write!(line, "\t{problem}");
        }
        line
    }

    /// One block of `links`.
    #[must_use]
    pub fn links_text(&self) -> String {
        let mut lines = Lines::default();
        lines.put("name", self.record.name.as_str());
        if let Some(problem) = &self.problem {
            lines.put("status", self.status());
            lines.put("error", problem);
        }
        lines.put("access", &self.access_url());
        self.put_prefix_links(&mut lines);
        lines.put("localAccess", &self.link(&self.local_base()));
        lines.put("mailbox", &self.mailbox);
        if let Some(Reached { local, public, bridge }) = &self.reached {
            for (key, channel) in
                [("localStatus", local), ("publicStatus", public), ("mainlandStatus", bridge)]
            {
                if channel.status != Class::Skipped {
                    lines.put(key, &channel.words());
                }
            }
        }
        lines.0
    }

    /// What `show` prints.
    #[must_use]
    pub fn show_text(&self) -> String {
        self.text(None)
    }

    /// What `list`, `links` and `show` print with `--json`.
    #[must_use]
    pub fn json(&self) -> Value {
        Value::Object(self.object(None))
    }

    fn text(&self, created: Option<&Created>) -> String {
        let record = &self.record;
        let mut lines = Lines::default();
        lines.put("name", record.name.as_str());
        lines.put("port", &record.port.to_string());
        lines.put("status", self.status());
        if let Some(problem) = &self.problem {
            lines.put("error", problem);
        }
        self.put_process(&mut lines);
        lines.put("local", &self.local_base());
        lines.put("mailbox", &self.mailbox);
        if let Some(created) = created {
            let Created { mail_routing_status: status, mail_routing_detail: detail, .. } = created;
            lines.put("mailboxRouting", &format!("{status} ({detail})"));
        }
        lines.put("public", &self.public_base());
        if let Some(reachable) = self.public_reachable {
            lines.put("publicStatus", if reachable { "reachable" } else { "pending" });
        }
        lines.put("mainland", &self.bridge_base);
        if self.token.is_some() {
            lines.put("access", &self.access_url());
            lines.put("localAccess", &self.link(&self.local_base()));
            self.put_prefix_links(&mut lines);
        }
        lines.put("token", self.token.as_deref().unwrap_or_default());
        lines.put("instanceRoot", &record.instance_root.to_string_lossy());
        lines.put("config", &record.config_dir.to_string_lossy());
        lines.put("memory", &record.memory_dir.to_string_lossy());
        lines.put("launchAgent", &record.launch_agent_path.to_string_lossy());
        lines.put("createdAt", &record.created_at);
        for warning in created.iter().flat_map(|created| &created.warnings) {
            lines.put("warning", warning);
        }
        lines.0
    }

    fn put_process(&self, lines: &mut Lines) {
        if self.record.stopped {
            lines.put("stopped", "until it is started");
        }
        let Some(process) = &self.process else {
            return;
        };
        if let Some(pid) = process.pid {
            lines.put("pid", &pid.to_string());
            lines.put("program", &process.program.to_string_lossy());
        }
        lines.put("since", process.started_at.as_deref().unwrap_or_default());
        if process.failures > 0 {
            lines.put("failures", &process.failures.to_string());
            lines.put("lastError", process.last_error.as_deref().unwrap_or_default());
        }
    }

    fn put_prefix_links(&self, lines: &mut Lines) {
        lines.put("mainlandAccess", &self.link(&self.bridge_base));
        if let Some(base) = &self.gateway_base {
            lines.put("gatewayAccess", &self.link(base));
        }
    }

    fn object(&self, created: Option<&Created>) -> Map<String, Value> {
        let mut object = self.record_object();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("mailboxAddress", json!(self.mailbox));
        if let Some(created) = created {
            put("mailboxRoutingStatus", json!(created.mail_routing_status));
            put("mailboxRoutingDetail", json!(created.mail_routing_detail));
            put("mailboxRouteModel", json!(created.mail_route_model));
            put("mailboxRoutingOperations", json!([]));
        }
        put("localReachable", json!(self.local_reachable));
        put("publicReachable", json!(self.public_reachable));
        put("token", json!(self.token.as_deref().unwrap_or_default()));
        if let Some(created) = created {
            put("warnings", json!(created.warnings));
        }
        let (public, local) = (self.public_base(), self.local_base());
        put("publicAccessUrl", json!(self.link(&public)));
        put("localAccessUrl", json!(self.link(&local)));
        for generation in ["mainland", "bridge"] {
            put(&format!("{generation}BaseUrl"), json!(self.bridge_base));
            put(&format!("{generation}AccessUrl"), json!(self.link(&self.bridge_base)));
        }
        put("accessChannels", self.channels(&public, &local));
        put("accessUrl", json!(self.access_url()));
        if let Some(base) = &self.gateway_base {
            put("gatewayAccessUrl", json!(self.link(base)));
        }
        if let Some(problem) = &self.problem {
            put("status", json!(self.status()));
            put("error", json!(problem));
        }
        if let Some(reached) = &self.reached {
            put("reachability", json!(reached));
        }
        if self.record.stopped {
            put("stopped", json!(true));
        }
        if self.asleep {
            put("asleep", json!(true));
        }
        if let Some(process) = &self.process {
            put("process", json!(process));
        }
        object
    }

    /// The sixteen documented fields of the record, in their order.
    fn record_object(&self) -> Map<String, Value> {
        let Record {
            name,
            label,
            port,
            hostname,
            instance_root,
            config_dir,
            memory_dir,
            mailbox_root,
            auth_file,
            launch_agent_path,
            log_path,
            error_log_path,
            session_expiry_days,
            created_at,
            ..
        } = &self.record;
        let fields = json!({
            "name": name,
            "label": label,
            "port": port,
            "hostname": hostname,
            "instanceRoot": instance_root,
            "configDir": config_dir,
            "memoryDir": memory_dir,
            "mailboxRoot": mailbox_root,
            "authFile": auth_file,
            "launchAgentPath": launch_agent_path,
            "logPath": log_path,
            "errorLogPath": error_log_path,
            "publicBaseUrl": self.public_base(),
            "localBaseUrl": self.local_base(),
            "sessionExpiryDays": session_expiry_days,
            "createdAt": created_at,
        });
        match fields {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    fn channels(&self, public: &str, local: &str) -> Value {
        let channel = |key: &str, label: &str, base: &str| {
            (!base.is_empty()).then(|| {
                json!({
                    "key": key,
                    "label": label,
                    "baseUrl": base,
                    "accessUrl": self.link(base),
                    "remote": key != "local",
                })
            })
        };
        [
            channel("public", "Public", public),
            channel("bridge", "Bridge", &self.bridge_base),
            channel("local", "Local", local),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn link(&self, base: &str) -> String {
        access(base, self.token.as_deref())
    }

    pub(super) fn public_base(&self) -> String {
        match self.record.public_base_url.as_str() {
            "" => public_base(&self.record.hostname),
            base => base.to_owned(),
        }
    }

    pub(super) fn local_base(&self) -> String {
        match self.record.local_base_url.as_str() {
            "" => local_base(self.record.port),
            base => base.to_owned(),
        }
    }
}

impl Created {
    /// What `create` prints.
    #[must_use]
    pub fn text(&self) -> String {
        self.view.text(Some(self))
    }

    /// What `create` prints with `--json`.
    #[must_use]
    pub fn json(&self) -> Value {
        Value::Object(self.view.object(Some(self)))
    }
}

/// `key: value` lines; a key without a value is left out.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn put(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{key}: {value}");
        }
    }
}

#[cfg(test)]
mod tests;
