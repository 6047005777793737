//! Creating a session, or finding the one that a connector means.

use std::sync::Arc;

use remotelab_config::paths::expand;
use remotelab_protocol::session::{Session, UNTITLED, one_line};
use remotelab_protocol::source;
use remotelab_protocol::title::{self, Given};
use remotelab_protocol::wire::{CreateSession, SOURCE_CONTEXT_MAX};
use remotelab_store::{Inserted, SessionCell};
use serde_json::{Map, Value};

use super::{DESCRIPTION_CHARS, GROUP_CHARS};
use crate::app::{Shared, StorageRefused, blocking, change};
use crate::clock::now_iso;
use crate::completions::{self, targets};
use crate::submit;

/// Why a session was not created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("folder and tool are required")]
    Incomplete,
    #[error("Folder does not exist")]
    NoFolder,
    #[error("internalRole must be a string when provided")]
    InternalRole,
    /// No such tool.
    #[error(transparent)]
    Tool(submit::Error),
    #[error(transparent)]
    Storage(#[from] StorageRefused),
}

/// Creates a session, or refreshes and returns the one that has the same `externalTriggerId`.
pub(crate) async fn create(app: &Shared, request: CreateSession) -> Result<Arc<SessionCell>, Error> {
    let prepared = prepare(app, &request).await?;
    let worker = Arc::clone(app);
    let (cell, inserted) = blocking(move || worker.store.find_or_insert(prepared)).await;
    match inserted {
        Inserted::New(commit) => commit.durable().await.map_err(StorageRefused)?,
        Inserted::Found => {
            if refresh(app, &cell, request).await? {
                app.hub.session_changed(&cell);
            }
        }
    }
    app.hub.list_changed();
    Ok(cell)
}

/// Cuts a source context that is no small object. The flag says that something was dropped.
pub(crate) fn source_context(value: Option<&Value>) -> (Option<Value>, bool) {
    match value {
        Some(value @ Value::Object(fields)) if !fields.is_empty() => {
            let fits = value.to_string().len() <= SOURCE_CONTEXT_MAX;
            (fits.then(|| value.clone()), !fits)
        }
        _ => (None, false),
    }
}

async fn prepare(app: &Shared, request: &CreateSession) -> Result<Session, Error> {
    let (folder, tool) = (request.folder.trim(), request.tool.trim());
    if folder.is_empty() || tool.is_empty() {
        return Err(Error::Incomplete);
    }
    let internal_role = match &request.internal_role {
        None | Some(Value::Null) => None,
        Some(Value::String(role)) => Some(role.trim().to_owned()).filter(|role| !role.is_empty()),
        Some(_) => return Err(Error::InternalRole),
    };
    let folder = expand(folder, &app.settings.home);
    let (worker, wanted, asked) = (Arc::clone(app), folder.clone(), tool.to_owned());
    let (exists, known) = blocking(move || (wanted.is_dir(), worker.known_tool(Some(&asked), ""))).await;
    if !exists {
        return Err(Error::NoFolder);
    }
    let tool = known.map_err(Error::Tool)?;
    let source = Source::of(request);
    let (name, auto_rename_pending) = title::initial(&Given {
        name: request.name.as_deref(),
        source_id: source.id.as_deref(),
        source_name: source.name.as_deref(),
        group: request.group.as_deref(),
        external_trigger_id: request.external_trigger_id.as_deref(),
    });
    let mut rest = Map::new();
    for (key, value) in [("templateId", &source.template_id), ("templateName", &source.template_name)] {
        if let Some(value) = value {
            rest.insert(key.into(), value.as_str().into());
        }
    }
    let source_id = source.id.unwrap_or_else(|| "chat".to_owned());
    let plain = Session::new(folder.to_string_lossy().into_owned(), tool, &now_iso());
    let mut session = Session {
        source_name: source.name.unwrap_or_else(|| source::name(&source_id)),
        source_id,
        name,
        auto_rename_pending,
        group: request.group.as_deref().and_then(|text| one_line(text, GROUP_CHARS)),
        description: request.description.as_deref().and_then(|text| one_line(text, DESCRIPTION_CHARS)),
        system_prompt: request.system_prompt.clone().filter(|text| !text.trim().is_empty()),
        external_trigger_id: non_empty(request.external_trigger_id.as_deref()),
        internal_role,
        source_context: source_context(request.source_context.as_ref()).0,
        rest,
        ..plain
    };
    completions::begin(&mut session, targets::read(request.completion_targets.as_ref()));
    Ok(session)
}

/// Applies what a repeated create supplies; tells whether anything changed. Only then `updatedAt` moves.
async fn refresh(
    app: &Shared,
    cell: &Arc<SessionCell>,
    request: CreateSession,
) -> Result<bool, StorageRefused> {
    let source = Source::of(&request);
    let worker = Arc::clone(app);
    let refreshed = change(cell, move |draft| {
        let targets_before = draft.session().completion_targets.clone();
        completions::add(&worker, draft, targets::read(request.completion_targets.as_ref()));
        let mut session = draft.session().clone();
        if let Some(group) = request.group.as_deref().and_then(|text| one_line(text, GROUP_CHARS)) {
            session.group = Some(group);
        }
        if let Some(text) = request.description.as_deref().and_then(|text| one_line(text, DESCRIPTION_CHARS))
        {
            session.description = Some(text);
        }
        if session.auto_rename_pending {
            let (name, pending) = title::initial(&Given {
                name: request.name.as_deref(),
                source_id: source.id.as_deref(),
                source_name: source.name.as_deref(),
                group: request.group.as_deref(),
                external_trigger_id: request.external_trigger_id.as_deref(),
            });
            if name != UNTITLED {
                (session.name, session.auto_rename_pending) = (name, pending);
            }
        }
        if let Some(id) = &source.id {
            session.source_name = source.name.clone().unwrap_or_else(|| source::name(id));
            session.source_id.clone_from(id);
        }
        for (key, value) in [("templateId", &source.template_id), ("templateName", &source.template_name)] {
            if let Some(value) = value {
                session.rest.insert(key.into(), value.as_str().into());
            }
        }
        if let Some(prompt) = &request.system_prompt {
            session.system_prompt = Some(prompt.clone()).filter(|text| !text.trim().is_empty());
        }
        if request.source_context.is_some() {
            session.source_context = source_context(request.source_context.as_ref()).0;
        }
        let changed = session != *draft.session() || session.completion_targets != targets_before;
        if changed {
            session.updated_at = now_iso();
            *draft.session_mut() = session;
        }
        changed
    });
    refreshed.await
}

/// Where a session comes from, with the older `appId`/`appName` understood.
struct Source {
    id: Option<String>,
    name: Option<String>,
    template_id: Option<String>,
    template_name: Option<String>,
}

impl Source {
    fn of(request: &CreateSession) -> Self {
        let app_id = non_empty(request.app_id.as_deref());
        let is_template = app_id.as_deref().is_some_and(source::is_template);
        let (app_source, app_template) = if is_template { (None, app_id) } else { (app_id, None) };
        let app_name = non_empty(request.app_name.as_deref());
        let given = non_empty(request.source_id.as_deref());
        let name_of_source = non_empty(request.source_name.as_deref())
            .or_else(|| app_name.clone().filter(|_| given.is_none() && app_source.is_some()));
        Self {
            id: given.or(app_source),
            name: name_of_source,
            template_id: non_empty(request.template_id.as_deref()).or(app_template),
            template_name: non_empty(request.template_name.as_deref()).or(app_name.filter(|_| is_template)),
        }
    }
}

fn non_empty(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
