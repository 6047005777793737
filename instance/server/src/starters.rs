//! What an owner finds in a new instance: a welcome that asks what there is to do, and three examples of what can be
//! handed over.
//!
//! They are made when the owner first asks for the list and there has never been a session of his. They are ordinary
//! sessions, known by their keys: whoever puts them away has them put away for good.

use std::collections::BTreeSet;

use bytes::Bytes;
use remotelab_protocol::event::Message;
use remotelab_protocol::{Attachment, Event, Role, Session, SessionId};
use remotelab_store::{Draft, journal};
use serde::Deserialize;

use crate::app::{App, Shared, blocking};
use crate::assets::{self, Creator, Incoming, Wanted};
use crate::auth::caller::Caller;
use crate::clock::{now_iso, now_ms};
use crate::sessions;
use crate::web::Language;

/// The keys of these sessions begin with this.
const KEY: &str = "owner_bootstrap:";
/// The template of the welcome.
const WELCOME: &str = "app_welcome";
/// The field that says that the welcome has done what it was for.
const RETIRED: &str = "welcomeOnboardingRetiredAt";

/// The tool of these sessions where the owner has chosen none.
const TOOLS: [&str; 2] = ["micro-agent", "codex"];

/// The files that the examples show.
const FILES: [(&str, &[u8]); 2] = [
    ("sales-march.csv", include_bytes!("starters/sales-march.csv")),
    ("sales-march-clean.csv", include_bytes!("starters/sales-march-clean.csv")),
];

/// The texts of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    /// The group of the examples.
    group: String,
    sessions: Vec<Starter>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Starter {
    /// Behind [`KEY`].
    key: String,
    name: String,
    description: String,
    /// The instructions of the welcome.
    #[serde(default)]
    prompt: Option<String>,
    messages: Vec<Line>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    role: Role,
    text: String,
    #[serde(default)]
    files: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Storage(#[from] journal::Error),
    #[error(transparent)]
    Asset(#[from] assets::Error),
}

/// Makes the starter sessions of a new instance, once; others wait meanwhile.
pub(crate) async fn make(app: &Shared, caller: &Caller, language: Language) {
    if !app.settings.starter_sessions || !matches!(caller, Caller::Login { .. } | Caller::Owner { .. }) {
        return;
    }
    let made = app.starters.get_or_try_init(async || make_missing(app, language).await).await;
    if let Err(error) = made {
        tracing::warn!(%error, "the starter sessions cannot be made yet");
    }
}

/// Ends the questions of the welcome once they have led to something: from then on it is a session like others.
pub(crate) fn retire(session: &mut Session) {
    let is_welcome = session.rest.get("templateId").is_some_and(|id| id == WELCOME);
    if !is_welcome || session.rest.contains_key(RETIRED) || !session.rest.contains_key("taskCard") {
        return;
    }
    session.system_prompt = None;
    session.entry_mode = None;
    session.claude_session_id = None;
    session.codex_thread_id = None;
    session.resume_points.clear();
    session.rest.insert(RETIRED.to_owned(), now_iso().into());
}

async fn make_missing(app: &Shared, language: Language) -> Result<(), Error> {
    let worker = app.clone();
    let Some((known, tool)) = blocking(move || Some((worker.known_starters()?, worker.starter_tool()))).await
    else {
        return Ok(());
    };
    let texts = texts(language);
    for (index, starter) in texts.sessions.iter().enumerate() {
        if known.contains(&starter.key) {
            continue;
        }
        let session = session(&texts, starter, index, &tool);
        let mut lines = Vec::new();
        for line in &starter.messages {
            lines.push((line.clone(), files(app, &session.id, line).await?));
        }
        let worker = app.clone();
        let (_, begun) =
            blocking(move || worker.store.find_or_insert_with(session, |draft| tell(draft, lines))).await;
        if let Some(((), commit)) = begun {
            commit.durable().await?;
        }
    }
    app.hub.list_changed();
    Ok(())
}

fn session(texts: &Texts, starter: &Starter, index: usize, tool: &str) -> Session {
    let now = now_iso();
    let mut session = Session {
        name: starter.name.clone(),
        auto_rename_pending: false,
        description: Some(starter.description.clone()),
        system_prompt: starter.prompt.clone(),
        external_trigger_id: Some(format!("{KEY}{}", starter.key)),
        pinned: true,
        sidebar_order: Some(index as u64 + 1),
        entry_mode: Some("read".to_owned()),
        last_reviewed_at: Some(now.clone()),
        ..Session::new("~".to_owned(), tool.to_owned(), &now)
    };
    match &starter.prompt {
        Some(_) => {
            session.rest.insert("templateId".to_owned(), WELCOME.into());
            session.rest.insert("templateName".to_owned(), starter.name.as_str().into());
        }
        None => session.group = Some(texts.group.clone()),
    }
    session
}

fn tell(draft: &mut Draft<'_>, lines: Vec<(Line, Vec<Attachment>)>) {
    for (line, files) in lines {
        let message = Message {
            content: line.text.trim().to_owned(),
            images: files.clone(),
            attachments: files,
            ..Message::default()
        };
        draft.append(Event::message(line.role, message, now_ms()));
    }
}

/// Makes assets of the files that a message shows.
async fn files(app: &Shared, session: &SessionId, line: &Line) -> Result<Vec<Attachment>, Error> {
    let mut shown = Vec::new();
    for (name, bytes) in FILES.iter().filter(|(name, _)| line.files.iter().any(|file| file == name)) {
        let creator = if line.role == Role::User { Creator::Owner } else { Creator::Assistant };
        let wanted = Wanted {
            session: session.clone(),
            creator,
            name: (*name).to_owned(),
            media_type: "text/csv".to_owned(),
            size: None,
        };
        let folder = app.settings.paths.file_asset_objects();
        let mut incoming = Incoming::begin(folder, assets::FILE_BYTES).await.map_err(assets::Error::from)?;
        incoming.write(&Bytes::from_static(bytes)).await.map_err(assets::Error::from)?;
        let asset = app.assets.adopt(wanted, incoming).await?;
        shown.push(Attachment { render_as: Some("file".to_owned()), ..asset.attachment() });
    }
    Ok(shown)
}

fn texts(language: Language) -> Texts {
    let text = match language {
        Language::English => include_str!("starters/en.toml"),
        Language::Chinese => include_str!("starters/zh-CN.toml"),
    };
    toml::from_str(text).expect("the tests read every embedded table")
}

impl App {
    /// Returns which starter sessions there are, put away or not; `None` when the owner has others. Blocks.
    fn known_starters(&self) -> Option<BTreeSet<String>> {
        let mut known = BTreeSet::new();
        for cell in self.store.sessions() {
            let is_others = cell.with(|state| {
                let session = &state.session;
                let key = session.external_trigger_id.as_deref().and_then(|key| key.strip_prefix(KEY));
                known.extend(key.map(str::to_owned));
                let is_blank = session.rest.get("templateId").is_some_and(|id| id == WELCOME)
                    && state.meta.latest_seq == 0;
                key.is_none() && !is_blank && !session.is_hidden() && !sessions::is_visitors(session)
            });
            if is_others {
                return None;
            }
        }
        Some(known)
    }

    fn starter_tool(&self) -> String {
        let chosen = crate::selection::load(&self.settings.paths).map(|selection| selection.selected_tool);
        let is_there = |id: &str| self.catalogue.find(id).is_some_and(|tool| tool.available);
        let usual = TOOLS.iter().find(|id| is_there(id)).unwrap_or(&"codex");
        chosen.filter(|id| is_there(id)).unwrap_or_else(|| (*usual).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_language_tells_the_same() {
        let shape = |language| {
            let texts = texts(language);
            let sessions = texts.sessions.iter().map(|starter| {
                let lines =
                    starter.messages.iter().map(|line| (format!("{:?}", line.role), line.files.clone()));
                (starter.key.clone(), starter.prompt.is_some(), lines.collect::<Vec<_>>())
            });
            sessions.collect::<Vec<_>>()
        };
        let english = shape(Language::English);
        assert_eq!(shape(Language::Chinese), english);
        let keys: Vec<&str> = english.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(
            keys,
            ["welcome", "showcase:file_cleanup", "showcase:digest_email_delivery", "showcase:instance_email"]
        );
        let named = english.iter().flat_map(|(.., lines)| lines).flat_map(|(_, files)| files);
        for file in named {
            assert!(FILES.iter().any(|(name, _)| name == file), "{file}");
        }
    }

    #[test]
    fn the_welcome_retires_with_its_card_once() {
        let fresh = json!({"id": "0".repeat(32), "templateId": WELCOME, "systemPrompt": "ask", "entryMode": "read",
            "codexThreadId": "t", "resumePoints": {"codex": {"id": "t", "throughSeq": 3}}});
        let mut session: Session = serde_json::from_value(fresh.clone()).unwrap();
        retire(&mut session);
        assert_eq!(session, serde_json::from_value(fresh).unwrap(), "it has no card");
        session.rest.insert("taskCard".into(), json!({"goal": "g"}));
        retire(&mut session);
        assert!(session.rest[RETIRED].is_string() && session.resume_points.is_empty());
        assert_eq!(
            (session.system_prompt.take(), session.entry_mode.take(), session.codex_thread_id.take()),
            (None, None, None)
        );
        // What the owner sets later stays.
        session.system_prompt = Some("mine".into());
        retire(&mut session);
        assert_eq!(session.system_prompt.as_deref(), Some("mine"));
    }
}
