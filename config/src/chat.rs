//! Settings of one chat server, from its environment alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::after_turn::AfterTurn;
use crate::object_storage::ObjectStorage;
use crate::paths::expand;
use crate::run_tokens::RunScope;
use crate::{Env, InstancePaths};

/// The owner's port.
pub const OWNER_PORT: u16 = 7690;

/// Room that a start needs to finish what the journal holds, and runs to end.
const FREE_DISK_MIB: u64 = 128;

const DAY_MS: u64 = 86_400_000;
const SESSION_EXPIRY_MS: std::ops::RangeInclusive<u64> = 60_000..=30 * DAY_MS;

/// What `remotelab chat` is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address to listen on (`CHAT_BIND_HOST`).
    pub bind_host: String,
    /// Port to listen on (`CHAT_PORT`).
    pub port: u16,
    /// How long a login lasts without use (`SESSION_EXPIRY`, milliseconds).
    pub session_expiry: Duration,
    /// Whether login cookies carry `Secure` (`SECURE_COOKIES`, only `0` disables).
    pub secure_cookies: bool,
    /// The instance's folders.
    pub paths: InstancePaths,
    /// Where the product's own notes lie, in a folder `memory`, if not beside the program
    /// (`REMOTELAB_SOURCE_PROJECT_ROOT`).
    pub source_project_root: Option<PathBuf>,
    /// The service user's home folder, the meaning of `~`.
    pub home: PathBuf,
    /// The instance's name, shown to people; `owner` when unset (`REMOTELAB_INSTANCE_NAME`).
    pub instance_name: String,
    /// The registry's opaque id of this instance, answered to probes (`REMOTELAB_INSTANCE_ID`).
    pub instance_id: String,
    /// Text put before every Codex prompt (`REMOTELAB_CODEX_SYSTEM_PREFIX`).
    pub codex_prompt_prefix: String,
    /// Whether runs use the user's own Codex home instead of the managed one
    /// (`REMOTELAB_CODEX_HOME_MODE` is `personal` or `inherit`).
    pub personal_codex_home: bool,
    /// Developer instructions for Codex; `None` leaves the built-in text, empty disables
    /// (`REMOTELAB_CODEX_DEVELOPER_INSTRUCTIONS`).
    pub codex_developer_instructions: Option<String>,
    /// Whether a short list of shared defaults stands in the first prompt of a session
    /// (`REMOTELAB_ENABLE_SHARED_STARTUP_DEFAULTS`).
    pub shared_startup_defaults: bool,
    /// Whether a new instance has a welcome and examples (`REMOTELAB_STARTER_SESSIONS`).
    pub starter_sessions: bool,
    /// What runs may do through the API, where it is not what the instance has noted
    /// (`REMOTELAB_RUN_TOKEN_SCOPE`: `session`, `organise` or `owner`).
    pub run_token_scope: Option<RunScope>,
    /// What happens after a turn by itself.
    pub after_turn: AfterTurn,
    /// What is to stay free on the disk (bytes): nothing more is accepted below it
    /// (`REMOTELAB_FREE_DISK_MIB`, 0 for no limit).
    pub free_disk: u64,
    /// Where files are kept besides this machine, if anywhere (`REMOTELAB_ASSET_*`).
    pub object_storage: Option<ObjectStorage>,
}

impl Settings {
    /// Reads the settings; an invalid value means the default, as the existing installations expect.
    #[must_use]
    pub fn from_env(env: &Env, home: &Path) -> Self {
        let home = env.get("HOME").map_or_else(|| home.to_owned(), |text| expand(text, home));
        Self {
            bind_host: env.get("CHAT_BIND_HOST").unwrap_or("127.0.0.1").to_owned(),
            port: env.port("CHAT_PORT").unwrap_or(OWNER_PORT),
            session_expiry: session_expiry(env.get("SESSION_EXPIRY")),
            secure_cookies: env.get("SECURE_COOKIES") != Some("0"),
            paths: InstancePaths::from_env(env, &home),
            source_project_root: env.get("REMOTELAB_SOURCE_PROJECT_ROOT").map(|text| expand(text, &home)),
            instance_name: env.get("REMOTELAB_INSTANCE_NAME").unwrap_or("owner").to_owned(),
            instance_id: env.get("REMOTELAB_INSTANCE_ID").unwrap_or_default().to_owned(),
            codex_prompt_prefix: env.get_raw("REMOTELAB_CODEX_SYSTEM_PREFIX").unwrap_or_default().to_owned(),
            personal_codex_home: matches!(env.get("REMOTELAB_CODEX_HOME_MODE"), Some("personal" | "inherit")),
            codex_developer_instructions: env
                .get_raw("REMOTELAB_CODEX_DEVELOPER_INSTRUCTIONS")
                .map(str::to_owned),
            shared_startup_defaults: !matches!(
                env.get("REMOTELAB_ENABLE_SHARED_STARTUP_DEFAULTS"),
                Some("0" | "false" | "no" | "off")
            ),
            starter_sessions: !matches!(
                env.get("REMOTELAB_STARTER_SESSIONS"),
                Some("0" | "false" | "no" | "off")
            ),
            run_token_scope: env.get("REMOTELAB_RUN_TOKEN_SCOPE").map(RunScope::parse),
            after_turn: AfterTurn::from_env(env),
            free_disk: free_disk(env.get("REMOTELAB_FREE_DISK_MIB")),
            object_storage: ObjectStorage::from_env(env),
            home,
        }
    }
}

fn free_disk(text: Option<&str>) -> u64 {
    let mib = text.and_then(|text| text.parse().ok()).unwrap_or(FREE_DISK_MIB);
    mib.saturating_mul(1 << 20)
}

/// Reads `SESSION_EXPIRY`: above 30 days is cut to 30 days, anything else unusable is one day.
fn session_expiry(text: Option<&str>) -> Duration {
    let digits = text.unwrap_or_default();
    let end = digits.bytes().take_while(u8::is_ascii_digit).count();
    let ms = match digits[..end].parse::<u64>() {
        Ok(ms) if SESSION_EXPIRY_MS.contains(&ms) => ms,
        Ok(ms) if ms > *SESSION_EXPIRY_MS.end() => *SESSION_EXPIRY_MS.end(),
        _ => DAY_MS,
    };
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_expiry_is_kept_in_range() {
        let cases = [
            (None, DAY_MS),
            (Some("60000"), 60_000),
            (Some("59999"), DAY_MS),
            (Some("2592000000"), 30 * DAY_MS),
            (Some("2678400000"), 30 * DAY_MS),
            (Some("120000ms"), 120_000),
            (Some("soon"), DAY_MS),
        ];
        for (text, expected) in cases {
            assert_eq!(session_expiry(text), Duration::from_millis(expected), "{text:?}");
        }
    }

    #[test]
    fn an_invalid_port_means_the_default() {
        for (text, expected) in [("7696", 7696), ("0", 7690), ("70000", 7690), ("x", 7690)] {
            let env = [("CHAT_PORT", text)].into_iter().collect();
            assert_eq!(Settings::from_env(&env, Path::new("/h")).port, expected);
        }
    }
}
