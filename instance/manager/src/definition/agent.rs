//! Launch agents: property lists.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use plist::{Dictionary, Value};
use remotelab_config::InstanceName;

use super::Definition;

/// The owner's own agent, by its historical name.
pub(super) const OWNER: &str = "com.chatserver.claude.plist";

/// Beginnings of the labels of guests, the present one first.
const LABELS: [&str; 2] = ["com.remotelab.guest.", "com.chatserver."];

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// What is in it.
    #[error("is no property list")]
    Form(#[from] plist::Error),
    /// What is in it.
    #[error("is no dictionary")]
    Kind,
}

/// Reads an agent; `None` when it is not that of a guest.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Option<Definition> {
    let file = path.file_name()?.to_str()?;
    if file == OWNER || !LABELS.iter().any(|start| file.starts_with(start)) {
        return None;
    }
    let list = dictionary(bytes).ok()?;
    let text = |key: &str| list.get(key).and_then(Value::as_string).unwrap_or_default().to_owned();
    let label = match text("Label") {
        label if label.is_empty() => file.trim_end_matches(".plist").to_owned(),
        label => label,
    };
    let name = LABELS.iter().find_map(|start| label.strip_prefix(start)).and_then(InstanceName::normalise)?;
    let arguments = list.get("ProgramArguments").and_then(Value::as_array).map(Vec::as_slice);
    let environment = strings(&list);
    let port =
        environment.get("CHAT_PORT").and_then(|port| port.trim().parse().ok()).filter(|port| *port > 0)?;
    Some(Definition {
        name,
        label,
        path: path.to_owned(),
        arguments: arguments
            .unwrap_or_default()
            .iter()
            .filter_map(|argument| argument.as_string().map(str::to_owned))
            .collect(),
        folder: PathBuf::from(text("WorkingDirectory")),
        stdout: PathBuf::from(text("StandardOutPath")),
        stderr: PathBuf::from(text("StandardErrorPath")),
        environment,
        port,
    })
}

/// The environment in an agent, whoever's it is.
pub(super) fn environment(bytes: &[u8]) -> BTreeMap<String, String> {
    dictionary(bytes).map(|list| strings(&list)).unwrap_or_default()
}

/// Puts what is run, where and with which environment into an agent, and leaves everything else.
pub(super) fn rewrite(bytes: &[u8], definition: &Definition) -> Result<String, Error> {
    let mut list = dictionary(bytes)?;
    let arguments = definition.arguments.iter().map(|argument| Value::String(argument.clone()));
    list.insert("ProgramArguments".to_owned(), Value::Array(arguments.collect()));
    let folder = definition.folder.to_string_lossy().into_owned();
    list.insert("WorkingDirectory".to_owned(), Value::String(folder));
    let mut environment = Dictionary::new();
    for (key, value) in &definition.environment {
        environment.insert(key.clone(), Value::String(value.clone()));
    }
    list.insert("EnvironmentVariables".to_owned(), Value::Dictionary(environment));
    let mut text = Vec::new();
    Value::Dictionary(list).to_writer_xml(&mut text)?;
    let mut text = String::from_utf8(text).map_err(|_| Error::Kind)?;
    text.push('\n');
    Ok(text)
}

fn dictionary(bytes: &[u8]) -> Result<Dictionary, Error> {
    Value::from_reader(Cursor::new(bytes))?.into_dictionary().ok_or(Error::Kind)
}

fn strings(list: &Dictionary) -> BTreeMap<String, String> {
    let environment = list.get("EnvironmentVariables").and_then(Value::as_dictionary);
    let pairs = environment.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_string()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>com.chatserver.trial9</string>
  <key>ProgramArguments</key>
  <array><string>/usr/bin/node</string><string>/srv/old/chat-server.mjs</string></array>
  <key>EnvironmentVariables</key>
  <dict><key>CHAT_PORT</key><string>7703</string><key>MINE</key><string>a &amp; b</string></dict>
  <key>KeepAlive</key><true/>
  <key>WorkingDirectory</key><string>/srv/old</string>
  <key>StandardOutPath</key><string>/l/out.log</string>
  <key>Nice</key><integer>5</integer>
</dict>
</plist>
"#;

    #[test]
    fn an_agent_of_an_earlier_version_is_read_and_keeps_what_is_not_ours() {
        let path = Path::new("/a/com.chatserver.trial9.plist");
        let found = parse(OLD.as_bytes(), path).unwrap();
        assert_eq!((found.name.as_str(), found.port), ("trial9", 7703));
        assert_eq!(found.program(), Path::new("/srv/old/chat-server.mjs"));
        assert!(found.is_of_earlier_version());
        let next = Definition {
            arguments: Definition::arguments_for(Path::new("/opt/remotelab")),
            folder: "/opt".into(),
            ..found
        };
        let text = rewrite(OLD.as_bytes(), &next).unwrap();
        let again = parse(text.as_bytes(), path).unwrap();
        assert_eq!(again, next);
        assert_eq!(again.program(), Path::new("/opt/remotelab"));
        assert!(!again.is_of_earlier_version());
        let list = dictionary(text.as_bytes()).unwrap();
        let keys: Vec<&str> = list.keys().map(String::as_str).collect();
        let as_before = ["Label", "ProgramArguments", "EnvironmentVariables", "KeepAlive"];
        assert_eq!(keys[..4], as_before, "{text}");
        assert_eq!(list.get("Nice").and_then(Value::as_signed_integer), Some(5));
        assert_eq!(list.get("KeepAlive").and_then(Value::as_boolean), Some(true));
    }

    #[test]
    fn what_is_no_guests_agent_is_left_alone() {
        assert_eq!(parse(OLD.as_bytes(), Path::new("/a/com.chatserver.claude.plist")), None);
        assert_eq!(parse(OLD.as_bytes(), Path::new("/a/com.other.plist")), None);
        let no_port = OLD.replace("7703", "x");
        assert_eq!(parse(no_port.as_bytes(), Path::new("/a/com.chatserver.trial9.plist")), None);
    }

    proptest! {
        #[test]
        fn an_environment_comes_back(pairs in proptest::collection::btree_map("[A-Z_]{1,8}", "[ -~]{0,20}", 0..6)) {
            let path = Path::new("/a/com.chatserver.trial9.plist");
            let mut next = parse(OLD.as_bytes(), path).unwrap();
            next.environment = pairs;
            next.environment.insert("CHAT_PORT".to_owned(), "7703".to_owned());
            let text = rewrite(OLD.as_bytes(), &next).unwrap();
            prop_assert_eq!(parse(text.as_bytes(), path).unwrap(), next);
        }
    }
}
