//! Whether there is an executor to do the work.

use super::{Finding, Patient, Status};

pub(super) fn executors(patient: &Patient) -> Vec<Finding> {
    let tools = &patient.executors;
    let usable: Vec<&str> = tools.iter().filter(|tool| tool.available).map(|tool| tool.id.as_str()).collect();
    let mut findings = vec![if usable.is_empty() {
        let message = "no executor is installed, so a built-in demo answers";
        Finding::new("executors", Status::Fail, message).with_fix("npm install -g @openai/codex")
    } else {
        Finding::new("executors", Status::Ok, format!("executors: {}", usable.join(", ")))
    }];
    // Whoever adds a tool means to use it; built-in ones may be missing.
    let gone = tools.iter().filter(|tool| !tool.builtin && !tool.available);
    findings.extend(gone.map(|tool| {
        let message = format!("the program of {} is missing: {}", tool.name, tool.command);
        Finding::new("executors", Status::Warn, message)
    }));
    findings
}
