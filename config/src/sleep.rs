//! When a guest that nobody uses is put to sleep: `[sleep]` of `gateway.toml`, and `sleepPolicy` of its record.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::atomic;
use crate::registry::Record;

/// Half an hour.
const IDLE_AFTER: Duration = Duration::from_secs(30 * 60);

/// When guests sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// After how long of nobody's using it; never without one.
    pub idle_after: Option<Duration>,
}

/// `[sleep]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    enabled: Option<bool>,
    /// Seconds.
    idle_after: Option<u32>,
}

/// `sleepPolicy` of a record.
#[derive(Deserialize)]
#[serde(untagged)]
enum Policy {
    Word(Word),
    #[serde(rename_all = "camelCase")]
    After {
        /// Seconds.
        idle_after: u32,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Never,
    Default,
}

impl Default for Sleep {
    fn default() -> Self {
        Self { idle_after: Some(IDLE_AFTER) }
    }
}

impl Sleep {
    /// Reads `[sleep]` of the gateway's settings. The gateway refuses a wrong file; here nobody sleeps then.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            sleep: Table,
        }
        let bytes = match atomic::read(path) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(_) => return Self { idle_after: None },
        };
        let file = toml::from_str::<File>(&String::from_utf8_lossy(&bytes));
        file.map_or(Self { idle_after: None }, |file| file.sleep.settings())
    }

    /// What holds for one guest.
    #[must_use]
    pub fn of(&self, record: &Record) -> Self {
        let policy = record.rest.get("sleepPolicy").unwrap_or(&Value::Null);
        match Policy::deserialize(policy) {
            Ok(Policy::Word(Word::Never)) => Self { idle_after: None },
            Ok(Policy::After { idle_after }) => Self { idle_after: Some(seconds(idle_after)) },
            Ok(Policy::Word(Word::Default)) | Err(_) => *self,
        }
    }
}

impl Table {
    /// What it says over the defaults.
    #[must_use]
    pub fn settings(&self) -> Sleep {
        let after = self.idle_after.map_or(IDLE_AFTER, seconds);
        Sleep { idle_after: self.enabled.unwrap_or(true).then_some(after) }
    }
}

/// Less than a second is no time to use anything in.
fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(seconds: u64) -> Sleep {
        Sleep { idle_after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn the_file_says_when() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Sleep::load(&path)
        };
        assert_eq!(Sleep::load(&folder.path().join("none")), after(1800));
        assert_eq!(load("[limits]\nconnections = 1"), after(1800));
        assert_eq!(load("[sleep]\nidle_after = 60"), after(60));
        assert_eq!(load("[sleep]\nidle_after = 0"), after(1));
        let never = Sleep { idle_after: None };
        assert_eq!(load("[sleep]\nenabled = false\nidle_after = 60"), never);
        assert_eq!(load("[sleep]\nnonsense = 1"), never);
        assert_eq!(load("nonsense"), never);
    }

    #[test]
    fn a_record_has_the_last_word() {
        let of = |policy: Value| {
            let record = json!({"name": "trial1", "port": 7696, "sleepPolicy": policy});
            after(60).of(&serde_json::from_value(record).unwrap())
        };
        assert_eq!(of(json!("never")), Sleep { idle_after: None });
        assert_eq!(of(json!({"idleAfter": 5})), after(5));
        for usual in [json!("default"), json!(null), json!("odd"), json!({"idleAfter": -1}), json!(7)] {
            assert_eq!(of(usual), after(60));
        }
    }
}
