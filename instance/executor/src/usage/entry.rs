//! What a line of a log tells.

use jiff::Timestamp;
use serde::Serialize;

/// Tokens that were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// What went in and came out.
    pub total_tokens: u64,
    /// What went in, cached or not.
    pub input_tokens: u64,
    /// What of it the provider had already.
    pub cached_input_tokens: u64,
    /// What came out.
    pub output_tokens: u64,
    /// What of it was thought.
    pub reasoning_tokens: u64,
}

impl Tokens {
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What was used since an earlier count; a count that went down began anew.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        if self.total_tokens < earlier.total_tokens {
            return *self;
        }
        self.with(earlier, u64::saturating_sub)
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn with(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            total_tokens: op(self.total_tokens, other.total_tokens),
            input_tokens: op(self.input_tokens, other.input_tokens),
            cached_input_tokens: op(self.cached_input_tokens, other.cached_input_tokens),
            output_tokens: op(self.output_tokens, other.output_tokens),
            reasoning_tokens: op(self.reasoning_tokens, other.reasoning_tokens),
        }
    }
}

/// What a line of a log tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// What holds from here on; `None` leaves it as it is.
    Turn { cwd: Option<String>, model: Option<String>, effort: Option<String> },
    /// What a person asked.
    Prompt(String),
    /// Tokens used by this moment.
    Used { at: Timestamp, tokens: Tokens, context: Context },
}

/// What a provider says beside the tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Context {
    /// How full the context is, and how large.
    pub(super) tokens: u64,
    pub(super) window: u64,
    /// How much of the weekly limit is used.
    pub(super) secondary_percent: Option<f64>,
}
