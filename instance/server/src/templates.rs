//! Templates: what a session has become, kept to begin others with. They live in `apps.json` beside the
//! apps, but have no share link.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use remotelab_config::atomic;
use remotelab_protocol::event::Known;
use remotelab_protocol::session::one_line;
use remotelab_protocol::{Event, Session};
use remotelab_store::{Commit, SessionCell};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::clock::{now_iso, now_ms};
use crate::context::Conversation;
use crate::sessions;
use crate::submit::is_busy;

const NAME_CHARS: usize = 120;
/// How many records the file holds at most.
const MAX_RECORDS: usize = 1_000;

/// Why a template was not saved or applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Unable to save template")]
    NotSaved,
    #[error("Session is running")]
    Running,
    #[error("Templates can only be applied before the first message")]
    TooLate,
    #[error("Unable to apply template")]
    NotApplied,
    #[error("the templates cannot be read or written at the moment")]
    File(#[from] atomic::Error),
}

/// Keeps two requests from writing the file at once.
#[derive(Debug, Default)]
pub(crate) struct Templates(Mutex<()>);

impl Templates {
    fn records(path: &Path) -> Result<Vec<Value>, atomic::Error> {
        Ok(atomic::read_json::<Vec<Value>>(path)?.unwrap_or_default())
    }

    fn add(&self, path: &Path, record: Value) -> Result<(), Error> {
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = Self::records(path)?;
        if records.len() >= MAX_RECORDS {
            return Err(Error::NotSaved);
        }
        records.push(record);
        Ok(atomic::write_json(path, &records)?)
    }
}

impl App {
    /// Saves what a session has become; returns the record. Blocks.
    pub(crate) fn save_template(&self, cell: &SessionCell, name: Option<&str>) -> Result<Value, Error> {
        let state = cell.snapshot();
        let session = &state.session;
        if sessions::is_visitors(session) || is_busy(session, state.active.as_ref()) {
            return Err(Error::NotSaved);
        }
        let content = Conversation::read(cell, None).text().unwrap_or_default();
        let prompt = session.system_prompt.clone().unwrap_or_default();
        if content.is_empty() && prompt.trim().is_empty() {
            return Err(Error::NotSaved);
        }
        let name = name.and_then(|name| one_line(name, NAME_CHARS));
        let now = now_iso();
        let record = json!({
            "id": format!("app_{}", hex::encode(rand::random::<[u8; 16]>())),
            "name": name.unwrap_or_else(|| format!("Template - {}", session.name)),
            "systemPrompt": prompt, "welcomeMessage": "", "skills": [], "tool": session.tool,
            "shareEnabled": false, "createdAt": now,
            "templateContext": {
                "content": content, "sourceSessionId": session.id, "sourceSessionName": session.name,
                "sourceSessionUpdatedAt": session.updated_at, "updatedAt": now,
            },
        });
        self.templates.add(&self.settings.paths.apps(), record.clone())?;
        Ok(record)
    }

    /// Begins an unused session with a template. Blocks; the change is durable once the commit is.
    pub(crate) fn apply_template(&self, cell: &SessionCell, id: &str) -> Result<Commit, Error> {
        let records = Templates::records(&self.settings.paths.apps())?;
        let template = records.into_iter().find(|record| record["id"] == id && record["deleted"] != true);
        let freshness = template.as_ref().map(|template| self.freshness(&template["templateContext"]));
        let (applied, commit) = cell.change(|draft| {
            if is_busy(draft.session(), draft.active()) {
                return Err(Error::Running);
            }
            if draft.meta().counts.get("message").is_some_and(|&count| count > 0) {
                return Err(Error::TooLate);
            }
            let session = draft.session();
            let unfit = sessions::is_visitors(session) || session.rest.contains_key("templateAppliedAt");
            let (Some(template), Some(freshness), false) = (&template, freshness, unfit) else {
                return Err(Error::NotApplied);
            };
            let text = |key: &str| template[key].as_str().unwrap_or_default().to_owned();
            let content = template["templateContext"]["content"].as_str().unwrap_or_default();
            if content.is_empty() && text("systemPrompt").trim().is_empty() {
                return Err(Error::NotApplied);
            }
            dress(draft.session_mut(), id, &text("name"), &text("systemPrompt"), &text("tool"));
            draft.append(Event::new(Known::TemplateContext(event(template, freshness)), now_ms()));
            Ok(())
        });
        applied.map(|()| commit)
    }

    /// Tells whether what a template was made of has changed since.
    fn freshness(&self, context: &Value) -> (&'static str, Value) {
        let Some(id) = context["sourceSessionId"].as_str().filter(|id| !id.is_empty()) else {
            return ("unknown", Value::Null);
        };
        let source = remotelab_protocol::SessionId::parse(id).ok().and_then(|id| self.store.session(&id));
        let Some(updated) = source.map(|cell| cell.with(|state| state.session.updated_at.clone())) else {
            return ("source_missing", Value::Null);
        };
        let saved = context["sourceSessionUpdatedAt"].as_str().unwrap_or_default();
        (if updated.as_str() > saved { "stale" } else { "current" }, updated.into())
    }
}

fn dress(session: &mut Session, id: &str, name: &str, prompt: &str, tool: &str) {
    let now = now_iso();
    for (key, value) in [("templateId", id), ("templateName", name), ("templateAppliedAt", &now)] {
        session.rest.insert(key.to_owned(), value.into());
    }
    session.source_id = id.to_owned();
    session.source_name = name.to_owned();
    session.system_prompt = Some(prompt.to_owned()).filter(|text| !text.trim().is_empty());
    if !tool.is_empty() {
        session.tool = tool.to_owned();
    }
    session.updated_at = now;
}

fn event(template: &Value, (freshness, source_updated): (&str, Value)) -> Map<String, Value> {
    let context = &template["templateContext"];
    let fields = json!({
        "templateId": template["id"], "templateName": template["name"], "content": context["content"],
        "templateFreshness": freshness, "sourceSessionId": context["sourceSessionId"],
        "sourceSessionName": context["sourceSessionName"], "templateUpdatedAt": context["updatedAt"],
        "savedFromSourceUpdatedAt": context["sourceSessionUpdatedAt"], "currentSourceUpdatedAt": source_updated,
    });
    match fields {
        Value::Object(mut fields) => {
            fields.retain(|_, value| !value.is_null());
            fields
        }
        _ => Map::new(),
    }
}
