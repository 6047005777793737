//! The lives of an inbound mail and of an outgoing one, as plain transitions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::Address;

macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Returns the word that the store and listings use.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads such a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// Every state, for listings and tests.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];
        }
    };
}

/// Where an inbound mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbound {
    /// Stored, not read yet.
    Received,
    /// Not readable as a mail; kept.
    ParseFailed,
    /// Held: the sender may not give work.
    Quarantined,
    /// Written by a program: recorded, never run, never answered.
    Noted,
    /// Waits for a person.
    PendingReview,
    /// May be handed to the instance.
    Approved,
    /// A person said no.
    Rejected,
    /// In the session; its run is awaited.
    Submitted,
    /// The answer is in the outbox.
    Answered,
    /// In the session; no answer was wanted.
    NoReply,
    /// The run failed or said nothing; the sender is told.
    Failed,
    /// Could not be handed over at all.
    Dead,
}

words!(Inbound {
    Received => "received",
    ParseFailed => "parse_failed",
    Quarantined => "quarantined",
    Noted => "noted",
    PendingReview => "pending_review",
    Approved => "approved",
    Rejected => "rejected",
    Submitted => "submitted",
    Answered => "answered",
    NoReply => "no_reply",
    Failed => "failed",
    Dead => "dead",
});

impl Inbound {
    /// Tells whether a mail may go from this state to another.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use Inbound::{
            Answered, Approved, Dead, Failed, NoReply, Noted, ParseFailed, PendingReview, Quarantined,
            Received, Rejected, Submitted,
        };
        match self {
            Received => matches!(next, ParseFailed | Quarantined | Noted | PendingReview | Approved),
            Quarantined => matches!(next, Approved | Rejected),
            Noted => next == Approved,
            PendingReview => matches!(next, Approved | Rejected),
            Approved => matches!(next, Submitted | Dead | Rejected),
            Submitted => matches!(next, Answered | NoReply | Failed),
            Failed | Dead => next == Approved,
            ParseFailed | Rejected | Answered | NoReply => false,
        }
    }

    /// Returns the queue of the documented listings that a mail in this state belongs to.
    #[must_use]
    pub fn queue(self) -> &'static str {
        match self {
            Self::Received | Self::PendingReview => "review",
            Self::Quarantined | Self::Noted | Self::ParseFailed | Self::Rejected => "quarantine",
            _ => "approved",
        }
    }

    /// Returns the status word of the documented listings.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined_sender_not_allowlisted",
            Self::PendingReview => "pending_manual_review",
            Self::Approved => "approved_for_ai",
            Self::Submitted => "processing_for_reply",
            Self::Answered => "reply_sent",
            Self::NoReply => "submitted_to_session",
            Self::Failed => "reply_failed",
            Self::Dead => "session_submission_failed",
            other => other.as_str(),
        }
    }
}

/// Where an outgoing mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outgoing {
    /// Waits for a person.
    Held,
    /// Waits for its first or next attempt.
    Pending,
    /// An attempt is under way, or its process died in it.
    Sending,
    /// The relay took it.
    Sent,
    /// The connection broke after the text had gone out: it may or may not have been taken.
    Unconfirmed,
    /// It came back: its recipient cannot be reached.
    Bounced,
    /// Given up.
    Dead,
}

words!(Outgoing {
    Held => "held",
    Pending => "pending",
    Sending => "sending",
    Sent => "sent",
    Unconfirmed => "sent_unconfirmed",
    Bounced => "bounced",
    Dead => "dead",
});

/// How an attempt to send ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The relay took it; its last line, and whom it refused for good.
    Accepted(String),
    /// The relay took it for some; for these it may help to try again.
    Partly(String, Vec<Address>),
    /// Another attempt may help.
    Transient(Failure),
    /// Another attempt may help, but not before this time has passed.
    Later(Failure, Duration),
    /// This provider cannot serve it; another may.
    Reroute(Failure),
    /// No further attempt can help.
    Permanent(Failure),
    /// Nobody knows whether it was taken.
    Unknown(Failure),
    /// Sending is not set up; this was no attempt.
    Unconfigured(String),
}

/// What a relay or the network said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// SMTP reply code, 0 without one.
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// What to do with a row that was being sent when its process died.
///
/// Before the text went out, trying again is safe. After it, one more attempt under the same
/// Message-ID risks a second copy and no loss; a further one would risk copies without end.
pub(crate) fn after_crash(text_had_gone_out: bool, crashes_before: u32) -> Outgoing {
    if text_had_gone_out && crashes_before > 0 { Outgoing::Unconfirmed } else { Outgoing::Pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in Inbound::ALL {
            assert_eq!(Inbound::parse(state.as_str()), Some(*state));
        }
        for state in Outgoing::ALL {
            assert_eq!(Outgoing::parse(state.as_str()), Some(*state));
        }
    }

    #[test]
    fn nothing_held_reaches_a_session_without_approval() {
        for state in Inbound::ALL {
            assert_eq!(state.may_become(Inbound::Submitted), *state == Inbound::Approved);
        }
        assert!(!Inbound::Rejected.may_become(Inbound::Approved));
        assert!(!Inbound::Answered.may_become(Inbound::Approved));
    }

    #[test]
    fn a_crash_costs_at_most_one_copy() {
        assert_eq!(after_crash(false, 5), Outgoing::Pending);
        assert_eq!(after_crash(true, 0), Outgoing::Pending);
        assert_eq!(after_crash(true, 1), Outgoing::Unconfirmed);
    }
}
