//! Reading a session's events. Writing goes through [`crate::Draft`].

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use remotelab_protocol::context::ContextMark;
use remotelab_protocol::event::{Body, Known};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Context, Event, SessionId};

use crate::body;
use crate::journal::Files;

/// Whether long texts are read with their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Whole texts.
    Whole,
    /// Whole texts of messages, previews of all others.
    Messages,
    /// Previews only.
    Preview,
}

/// The events of one session. All reads block; call them off the async threads.
#[derive(Clone, Debug)]
pub struct History {
    files: Files,
    session: SessionId,
}

impl History {
    /// Points at a session's history, which need not exist.
    #[must_use]
    pub fn of(files: &Files, session: &SessionId) -> Self {
        Self { files: files.clone(), session: session.clone() }
    }

    /// Reads the events of a range in order. An event that is missing or cannot be read is replaced by a
    /// status line that says so; the range ends where the history ends.
    #[must_use]
    pub fn read(&self, range: RangeInclusive<u64>, bodies: Bodies) -> Vec<Event> {
        // Looked up only when a file is missing, which is at the end or after damage.
        let mut last = None;
        range
            .map_while(|seq| {
                self.event(seq, bodies).or_else(|| {
                    let last = *last.get_or_insert_with(|| self.last_seq());
                    (seq <= last).then(|| unreadable(seq))
                })
            })
            .collect()
    }

    /// As [`History::read`], but ends when the texts have so many bytes together; one event is the least.
    #[must_use]
    pub fn read_some(&self, range: RangeInclusive<u64>, bodies: Bodies, most: u64) -> Vec<Event> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        for seq in range {
            let Some(event) = self.read(seq..=seq, bodies).pop() else { break };
            bytes += event.body.body_bytes.unwrap_or_default();
            events.push(event);
            if bytes >= most {
                break;
            }
        }
        events
    }

    /// Reads one event; `None` when there is none of that number.
    #[must_use]
    pub fn event(&self, seq: u64, bodies: Bodies) -> Option<Event> {
        let bytes = match self.files.read(&relative::event(&self.session, seq)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => return Some(unreadable(seq)),
        };
        let Ok(mut event) = serde_json::from_slice::<Event>(&bytes) else {
            return Some(unreadable(seq));
        };
        event.seq = seq;
        self.load(&mut event, bodies);
        Some(event)
    }

    /// Puts the whole text into an event that was read without it, if it is one of those whose texts are wanted.
    pub fn load(&self, event: &mut Event, bodies: Bodies) {
        let is_wanted = match bodies {
            Bodies::Whole => true,
            Bodies::Messages => event.as_message().is_some(),
            Bodies::Preview => false,
        };
        if is_wanted && event.body.body_loaded == Some(false) {
            self.load_body(event);
        }
    }

    /// Reads `meta.json`; a missing or damaged one is rebuilt from the events.
    #[must_use]
    pub fn meta(&self) -> HistoryMeta {
        let stored = self.files.read(&relative::meta(&self.session)).ok();
        let mut meta: HistoryMeta =
            stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        // Other tools write the event before the figures, and may have died between the two.
        if meta.latest_seq == 0 || self.event(meta.latest_seq + 1, Bodies::Preview).is_some() {
            self.read(meta.latest_seq + 1..=u64::MAX, Bodies::Preview)
                .iter()
                .for_each(|event| count(&mut meta, event));
        }
        meta
    }

    /// Reads `context.json`; a missing or damaged one means that the whole history counts.
    #[must_use]
    pub fn context(&self) -> Context {
        let stored = self.files.read(&relative::context(&self.session)).ok();
        stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Makes the mark of a context that another tool wrote.
    #[must_use]
    pub fn context_mark(&self) -> Option<ContextMark> {
        let context = self.context();
        let messages = || {
            let before = self.read(1..=context.active_from_seq, Bodies::Preview);
            before.iter().filter(|event| event.as_message().is_some()).count() as u64
        };
        context.mark(0).map(|mark| ContextMark { messages_before: messages(), ..mark })
    }

    /// Returns the highest number of an event's file; 0 without any.
    fn last_seq(&self) -> u64 {
        let names = self.files.names(&relative::events(&self.session));
        names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).max().unwrap_or(0)
    }

    fn load_body(&self, event: &mut Event) {
        let Some(reference) = event.body.body_ref.as_deref().filter(|name| is_reference(name)) else {
            return;
        };
        if let Ok(bytes) = self.files.read(&relative::body(&self.session, reference)) {
            body::inline(event, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// Adds an appended event to a session's figures.
pub fn count(meta: &mut HistoryMeta, event: &Event) {
    meta.latest_seq = event.seq;
    meta.size += 1;
    meta.last_event_at = Some(event.timestamp);
    *meta.counts.entry(event.type_name().to_owned()).or_default() += 1;
    if event.as_message().is_some() {
        let role = match event.role {
            Some(remotelab_protocol::Role::User) => "message_user",
            _ => "message_assistant",
        };
        *meta.counts.entry(role.to_owned()).or_default() += 1;
        if role == "message_assistant" {
            meta.last_assistant_message_at = Some(event.timestamp);
        }
    }
}

/// Relative paths of a session's files, for transactions.
pub(crate) mod relative {
    use remotelab_protocol::SessionId;

    pub(crate) fn session(id: &SessionId) -> String {
        format!("chat-history/{id}/session.json")
    }

    pub(crate) fn meta(id: &SessionId) -> String {
        format!("chat-history/{id}/meta.json")
    }

    pub(crate) fn context(id: &SessionId) -> String {
        format!("chat-history/{id}/context.json")
    }

    pub(crate) fn requests(id: &SessionId) -> String {
        format!("chat-history/{id}/requests.jsonl")
    }

    pub(crate) fn events(id: &SessionId) -> String {
        format!("chat-history/{id}/events")
    }

    pub(crate) fn event(id: &SessionId, seq: u64) -> String {
        format!("chat-history/{id}/events/{seq:09}.json")
    }

    pub(crate) fn body(id: &SessionId, reference: &str) -> String {
        format!("chat-history/{id}/bodies/{reference}.txt")
    }
}

fn is_reference(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

fn unreadable(seq: u64) -> Event {
    let content = format!("error: event {seq} is damaged and cannot be shown");
    Event {
        seq,
        id: format!("evt_{seq:016x}"),
        body: Body::default(),
        ..Event::new(Known::Status { content }, 0)
    }
}
