//! How much of the machine a guest's runs may take, and how much of its disk the guest.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Env;

const MEMORY: &str = "REMOTELAB_LIMIT_MEMORY";
const TASKS: &str = "REMOTELAB_LIMIT_TASKS";
const CPU: &str = "REMOTELAB_LIMIT_CPU";
const DISK: &str = "REMOTELAB_QUOTA_DISK";
const RUNS: &str = "REMOTELAB_QUOTA_RUNS";

/// What all runs of a guest may take together at a time. What is absent has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Hundredths of one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
}

/// What a guest may use before it is told to wait or to clear away. What is absent has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quota {
    /// Bytes of all its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// Runs that begin on one day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_per_day: Option<u32>,
}

impl Limits {
    /// Tells whether there are none.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// Reads them from a server's environment.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        let number = |key| env.number(key).filter(|&number| number > 0);
        let cpu = number(CPU).and_then(|cpu| cpu.try_into().ok());
        Self { memory: number(MEMORY), tasks: number(TASKS), cpu }
    }

    /// Says them in a server's environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        said([(MEMORY, self.memory), (TASKS, self.tasks), (CPU, self.cpu.map(u64::from))])
    }
}

impl Quota {
    /// Tells whether there is none.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// Reads it from a server's environment.
    #[must_use]
    pub fn from_env(env: &Env) -> Self {
        let runs_per_day = env.number(RUNS).and_then(|runs| runs.try_into().ok());
        Self { disk: env.number(DISK), runs_per_day }
    }

    /// Says it in a server's environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        said([(DISK, self.disk), (RUNS, self.runs_per_day.map(u64::from)), ("", None)])
    }
}

/// Reads a part of a record. One that cannot be read has no limits, and is no reason to lose the guest.
///
/// # Errors
/// When it is not even a value.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Reads a size: digits, and `K`, `M`, `G` or `T` for powers of 1024.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..end].parse().ok()?;
    let power = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    number.checked_mul(1024_u64.pow(power)).filter(|&size| size > 0)
}

/// Writes a size for people: three digits at most, rounded down.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < units.len() {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    let tenth = rest * 10 / 1024;
    if unit > 0 && whole < 10 && tenth > 0 {
        format!("{whole}.{tenth} {}", units[unit])
    } else {
        format!("{whole} {}", units[unit])
    }
}

fn said(all: [(&'static str, Option<u64>); 3]) -> Vec<(&'static str, String)> {
    all.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_record_says_arrives_at_the_server() {
        let limits = Limits { memory: Some(1 << 30), tasks: Some(200), cpu: Some(150) };
        let quota = Quota { disk: Some(5 << 30), runs_per_day: Some(40) };
        let env: Env = limits.variables().into_iter().chain(quota.variables()).collect();
        assert_eq!((Limits::from_env(&env), Quota::from_env(&env)), (limits, quota));
        assert_eq!(Limits::from_env(&Env::default()), Limits::default());
        assert!(Limits::default().variables().is_empty() && Quota::default().variables().is_empty());
        assert_eq!(lenient::<_, Quota>(json!({"disk": "much"})).unwrap(), Quota::default());
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in
            [("1", 1), ("2k", 2048), ("512 MiB", 512 << 20), ("3G", 3 << 30), ("1TB", 1 << 40)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "0", "1.5G", "-1", "9999999999T", "1X"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 20, "10 MiB"), (3 << 30, "3 GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
