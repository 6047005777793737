//! What a line, or the end, turned out to mean.

use remotelab_protocol::event::{Known, Message, Usage};

/// What came of a line. The role of each event is the one that its kind has (`Event::new`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The events, in order.
    pub events: Vec<Known>,
    /// The provider's id of the conversation, whenever it is told anew.
    pub resume_id: Option<String>,
    /// Tokens that are live in the model's context.
    pub context_tokens: Option<u64>,
    /// The model's window, in tokens.
    pub context_window_tokens: Option<u64>,
    /// Why the run failed, in one sentence; only at the end.
    pub failure: Option<String>,
    /// The conversation that was to be resumed no longer exists: the stored id must be dropped.
    pub resume_lost: bool,
    /// What the line tells of an answer that is being written. The whole of it comes with a later line.
    pub partial: Option<Partial>,
}

/// What a line tells of an answer that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partial {
    /// Something new begins; what was being written before is not.
    Begun,
    /// The next piece of its text.
    More(String),
    /// Progress that shows no text.
    Progress,
    /// This line has it whole, or there is no more.
    Over,
}

impl Parsed {
    /// Tells whether anything is to be stored.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let tells = [&self.resume_id, &self.failure].into_iter().any(Option::is_some);
        let counts =
            [self.context_tokens, self.context_window_tokens].into_iter().any(|count| count.is_some());
        tells || counts || self.resume_lost || !self.events.is_empty()
    }

    pub(super) fn of(event: Known) -> Self {
        Self { events: vec![event], ..Self::default() }
    }

    pub(super) fn message(text: &str, kind: Option<&str>) -> Known {
        Known::Message(Box::new(Message {
            content: text.to_owned(),
            message_kind: kind.map(str::to_owned),
            ..Message::default()
        }))
    }

    pub(super) fn push_usage(&mut self, usage: Usage) {
        self.context_tokens = usage.context_tokens;
        self.context_window_tokens = usage.context_window_tokens;
        self.events.push(Known::Usage(usage));
    }
}
