//! What happens after a turn by itself, as the environment sets it.

use std::time::Duration;

use crate::Env;

/// Unless it is set otherwise.
const HELPER_LIMIT: Duration = Duration::from_secs(60);
/// The longest that it can be set to: messages may wait for the answer.
const HELPER_LIMIT_MAX: Duration = Duration::from_secs(600);

/// What happens after a turn by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterTurn {
    /// What an executor is asked about a turn (`REMOTELAB_TURN_HELPER`).
    pub helper: Helper,
    /// The executor that is asked, instead of the turn's own (`REMOTELAB_TURN_HELPER_TOOL`).
    pub helper_tool: Option<String>,
    /// The model that is asked (`REMOTELAB_TURN_HELPER_MODEL`).
    pub helper_model: Option<String>,
    /// How long it may think (`REMOTELAB_TURN_HELPER_TIMEOUT_MS`).
    pub helper_limit: Duration,
    /// Whose replies are reviewed (`REMOTELAB_REPLY_SELF_CHECK`).
    pub self_check: SelfCheck,
    /// When the context is summarised (`REMOTELAB_LIVE_CONTEXT_COMPACT_TOKENS`).
    pub compact: CompactAt,
}

/// What an executor is asked about a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Nothing.
    Off,
    /// Title, group and description, until the session has them.
    Labels,
    /// Labels, and after every turn how the work stands and what the task is.
    All,
}

/// Whose replies are reviewed before the next message is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelfCheck {
    /// Nobody's. The default: a review costs a call, and what it finds another one.
    Off,
    /// Everybody's.
    All,
    /// Those of these tools, by id or profile.
    Tools(Vec<String>),
}

/// How many live tokens are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactAt {
    /// As many as the model's window holds.
    Window,
    /// More than this.
    Tokens(u64),
    /// The context is summarised on request only.
    Never,
}

impl AfterTurn {
    /// Reads the settings; an invalid value means the default.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        let text = |key| env.get(key).map(str::to_owned);
        Self {
            helper: match env.get("REMOTELAB_TURN_HELPER").map(str::to_ascii_lowercase).as_deref() {
                Some("off" | "0" | "false" | "no" | "none" | "disabled") => Helper::Off,
                Some("labels") => Helper::Labels,
                _ => Helper::All,
            },
            helper_tool: text("REMOTELAB_TURN_HELPER_TOOL"),
            helper_model: text("REMOTELAB_TURN_HELPER_MODEL"),
            helper_limit: env
                .number("REMOTELAB_TURN_HELPER_TIMEOUT_MS")
                .filter(|&ms| ms > 0)
                .map_or(HELPER_LIMIT, |ms| Duration::from_millis(ms).min(HELPER_LIMIT_MAX)),
            self_check: SelfCheck::parse(env.get("REMOTELAB_REPLY_SELF_CHECK").unwrap_or_default()),
            compact: match env.get("REMOTELAB_LIVE_CONTEXT_COMPACT_TOKENS") {
                Some(text) if matches!(text.to_ascii_lowercase().as_str(), "inf" | "infinity") => {
                    CompactAt::Never
                }
                Some(text) => {
                    text.parse().ok().filter(|&n| n > 0).map_or(CompactAt::Window, CompactAt::Tokens)
                }
                None => CompactAt::Window,
            },
        }
    }
}

impl SelfCheck {
    fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "" | "off" | "0" | "false" | "disabled" | "none" => Self::Off,
            "all" | "1" | "true" | "on" => Self::All,
            list => Self::Tools(list.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    /// Tells whether the replies of a tool are reviewed.
    #[must_use]
    pub fn covers(&self, tool: &str, profile: Option<&str>) -> bool {
        match self {
            Self::Off => false,
            Self::All => true,
            Self::Tools(names) => names.iter().any(|name| name == tool || Some(name.as_str()) == profile),
        }
    }
}

impl CompactAt {
    /// Tells whether a context is full; unknown figures never are.
    #[must_use]
    pub fn is_full(self, live: Option<u64>, window: Option<u64>) -> bool {
        let limit = match self {
            Self::Never => None,
            Self::Tokens(tokens) => Some(tokens),
            Self::Window => window,
        };
        live.zip(limit).is_some_and(|(live, limit)| live > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&'static str, &'static str)]) -> AfterTurn {
        AfterTurn::from_env(&pairs.iter().copied().collect())
    }

    #[test]
    fn by_default_one_call_and_no_review() {
        assert_eq!(
            set(&[("REMOTELAB_TURN_HELPER", "maybe"), ("REMOTELAB_LIVE_CONTEXT_COMPACT_TOKENS", "many")]),
            AfterTurn {
                helper: Helper::All,
                helper_tool: None,
                helper_model: None,
                helper_limit: HELPER_LIMIT,
                self_check: SelfCheck::Off,
                compact: CompactAt::Window,
            }
        );
    }

    #[test]
    fn every_part_can_be_switched() {
        let settings = set(&[
            ("REMOTELAB_TURN_HELPER", "OFF"),
            ("REMOTELAB_TURN_HELPER_MODEL", "haiku"),
            ("REMOTELAB_REPLY_SELF_CHECK", "codex, micro-agent"),
            ("REMOTELAB_LIVE_CONTEXT_COMPACT_TOKENS", "9000"),
        ]);
        assert_eq!((settings.helper, settings.helper_model.as_deref()), (Helper::Off, Some("haiku")));
        let check = settings.self_check;
        assert!(
            check.covers("codex", None) && check.covers("x", Some("micro-agent")) && !check.covers("x", None)
        );
        assert_eq!(settings.compact, CompactAt::Tokens(9_000));
    }

    #[test]
    fn a_context_is_full_above_its_limit() {
        assert!(
            CompactAt::Tokens(10).is_full(Some(11), None) && !CompactAt::Tokens(10).is_full(Some(10), None)
        );
        assert!(CompactAt::Window.is_full(Some(11), Some(10)) && !CompactAt::Window.is_full(Some(11), None));
        assert!(!CompactAt::Never.is_full(Some(11), Some(10)) && !CompactAt::Tokens(10).is_full(None, None));
    }
}
