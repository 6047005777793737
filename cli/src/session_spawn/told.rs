//! What is printed about sessions that were started.

use std::collections::BTreeMap;

use remotelab_client::Delegated;
use serde_json::{Map, Value};

use crate::output;
use crate::verb;
use crate::verb::outcome::Outcome;

/// What is printed about one of them.
pub(super) struct Told(Map<String, Value>);

/// How it is printed.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// The reply alone.
    pub(super) final_only: bool,
    pub(super) json: bool,
}

impl Told {
    pub(super) fn new(source: &str, task: &str, child: &Delegated) -> Self {
        let session = child.session.id.as_str();
        let run = child.run.as_ref().map(|run| run.id.to_string()).unwrap_or_default();
        let fields = [
            ("sourceSessionId", source.to_owned()),
            ("task", task.to_owned()),
            ("sessionId", session.to_owned()),
            ("sessionName", child.session.name.clone()),
            ("runId", run),
            ("sessionUrl", verb::session_url(session)),
        ];
        Self(fields.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) {
        self.0.insert("state".into(), outcome.state().into());
        self.0.insert("reply".into(), outcome.reply.as_str().into());
        if let Some(run) = &outcome.settled_run {
            self.0.insert("settledRunId".into(), run.as_str().into());
        }
        if outcome.timed_out {
            self.0.insert("timedOut".into(), true.into());
        }
    }

    fn document(&self, form: Form) -> BTreeMap<&str, &Value> {
        let keys = self.0.iter().map(|(key, value)| (key.as_str(), value));
        keys.filter(|(key, _)| !form.final_only || matches!(*key, "state" | "reply")).collect()
    }

    fn text(&self, form: Form) -> String {
        let text = |key: &str| self.0.get(key).and_then(Value::as_str).unwrap_or_default();
        if form.final_only {
            return format!("{}\n", text("reply"));
        }
        let lines = ["sessionId", "runId", "sessionUrl"].map(|key| format!("{key}: {}\n", text(key)));
        let reply = match text("reply") {
            "" => String::new(),
            reply => format!("\n{reply}\n"),
        };
        lines.concat() + &reply
    }
}

/// Prints one, or several as a list.
pub(super) fn print(told: &[Told], is_list: bool, form: Form) -> anyhow::Result<()> {
    match told {
        [one] if !is_list && form.json => output::json(&one.document(form)),
        several if form.json => {
            output::json(&several.iter().map(|told| told.document(form)).collect::<Vec<_>>())
        }
        all => {
            let texts: Vec<String> = all.iter().map(|told| told.text(form)).collect();
            output::text(&texts.join("\n"))
        }
    }
}
