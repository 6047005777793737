//! Guests that only a service definition knows: their names and ports are taken too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use remotelab_config::InstanceName;

/// The largest service definition that is looked at, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Names and ports that service definitions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Discovered {
    pub(super) names: BTreeSet<InstanceName>,
    pub(super) ports: BTreeSet<u16>,
}

/// Looks through the launch agents and the env files of earlier versions.
pub(super) fn discover(home: &Path) -> Discovered {
    let mut found = BTreeMap::new();
    scan(&home.join("Library/LaunchAgents"), "com.chatserver.", ".plist", &mut found);
    scan(Path::new("/etc/remotelab/guest-instances"), "", ".env", &mut found);
    // The owner's own agent has this historical name.
    found.retain(|name: &InstanceName, _| name.as_str() != "claude");
    Discovered { ports: found.values().flatten().copied().collect(), names: found.into_keys().collect() }
}

fn scan(folder: &Path, start: &str, end: &str, found: &mut BTreeMap<InstanceName, Option<u16>>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let name = file
            .to_str()
            .and_then(|file| file.strip_prefix(start)?.strip_suffix(end))
            .and_then(InstanceName::normalise);
        let is_small = entry.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES);
        if let Some(name) = name
            && is_small
        {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            found.insert(name, chat_port(&text));
        }
    }
}

/// Finds `CHAT_PORT` in a property list or an env file: the first number after the name.
fn chat_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("CHAT_PORT")?;
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.bytes().take_while(u8::is_ascii_digit).count();
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launch_agents_hold_names_and_ports() {
        let home = tempfile::tempdir().unwrap();
        let agents = home.path().join("Library/LaunchAgents");
        fs::create_dir_all(&agents).unwrap();
        let plist = "<key>CHAT_PORT</key>\n\t<string>7712</string><key>HOME</key>";
        fs::write(agents.join("com.chatserver.trial9.plist"), plist).unwrap();
        fs::write(agents.join("com.chatserver.claude.plist"), plist).unwrap();
        fs::write(agents.join("com.other.plist"), plist).unwrap();
        let found = discover(home.path());
        assert_eq!(found.names.iter().map(InstanceName::as_str).collect::<Vec<_>>(), ["trial9"]);
        assert_eq!(found.ports, BTreeSet::from([7712]));
        assert_eq!(chat_port("CHAT_BIND_HOST=127.0.0.1\nCHAT_PORT=7713\n"), Some(7713));
        assert_eq!(chat_port("CHAT_PORT=\n"), None);
    }
}
