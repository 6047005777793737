//! What a service definition differs by from what it is to be, and what it is to be. Nothing but values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::definition::Definition;
use crate::supervisor::is_inherited;

/// Where releases of an earlier version were kept.
const RELEASE: [&str; 5] = [
    "REMOTELAB_ACTIVE_RELEASE_FILE",
    "REMOTELAB_ACTIVE_RELEASE_ID",
    "REMOTELAB_ACTIVE_RELEASE_ROOT",
    "REMOTELAB_ENABLE_ACTIVE_RELEASE",
    "REMOTELAB_DISABLE_ACTIVE_RELEASE",
];

/// What names an object storage.
pub(super) const ASSETS: [&str; 9] = [
    "REMOTELAB_ASSET_STORAGE_PROVIDER",
    "REMOTELAB_ASSET_STORAGE_BASE_URL",
    "REMOTELAB_ASSET_STORAGE_PUBLIC_BASE_URL",
    "REMOTELAB_ASSET_STORAGE_REGION",
    "REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID",
    "REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY",
    "REMOTELAB_ASSET_STORAGE_KEY_PREFIX",
    "REMOTELAB_ASSET_STORAGE_PRESIGN_TTL_SECONDS",
    "REMOTELAB_ASSET_DIRECT_UPLOAD_ENABLED",
];

/// Links through a front door, which guests take from the owner's defaults now.
const BRIDGE: [&str; 3] =
    ["REMOTELAB_BRIDGE_BASE_URL", "REMOTELAB_BRIDGE_BASE_URL_TEMPLATE", "REMOTELAB_BRIDGE_ROOT_BASE_URL"];

const SNAPSHOT: &str = "REMOTELAB_USER_SHELL_ENV_B64";
const PREFIX: &str = "REMOTELAB_ASSET_STORAGE_KEY_PREFIX";
const DISPATCH: &str = "REMOTELAB_SESSION_DISPATCH";
const PUBLIC: &str = "REMOTELAB_PUBLIC_BASE_URL";
const ROOT: &str = "REMOTELAB_INSTANCE_ROOT";

/// What all definitions are to have in common.
#[derive(Clone, Debug)]
pub(super) struct Here {
    /// This program.
    pub(super) program: PathBuf,
    /// The operator's home.
    pub(super) home: PathBuf,
    /// The owner's object storage.
    pub(super) assets: BTreeMap<String, String>,
}

/// In which respects something differs from what it is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// In any.
    pub changed: bool,
    /// Another program.
    pub code_path_changed: bool,
    /// Another folder.
    pub working_directory_changed: bool,
    /// Never: what executes the program is the program.
    pub node_path_changed: bool,
    /// Variables of releases of an earlier version.
    pub has_legacy_release_flags: bool,
    /// An earlier version without the operator's environment.
    pub missing_shell_env_snapshot: bool,
    /// No address to listen on.
    pub missing_bind_host: bool,
    /// No home.
    pub missing_home: bool,
    /// No folder.
    pub missing_instance_root: bool,
    /// Another object storage than the owner's.
    pub file_asset_environment_changed: bool,
    /// A host name that it is not told.
    pub missing_public_base_url: bool,
    /// Sessions are not dispatched.
    pub session_dispatch_changed: bool,
    /// Links of its own through a front door.
    pub bridge_env_present: bool,
}

impl Drift {
    /// Of what runs under the supervisor only the program may differ.
    pub(super) fn of_program(changed: bool) -> Self {
        Self { changed, code_path_changed: changed, ..Self::default() }
    }
}

/// What a definition is to be: as it is, but for this program and with what it lacks.
pub(super) fn next(found: &Definition, here: &Here, root: &Path, public_base: &str) -> Definition {
    let mut environment = found.environment.clone();
    let snapshot = environment.remove(SNAPSHOT);
    environment.retain(|key, _| !RELEASE.contains(&key.as_str()) && !BRIDGE.contains(&key.as_str()));
    // Of the operator's whole environment a guest needs only what executors need.
    for (key, value) in snapshot.map(|text| snapshot_of(&text)).unwrap_or_default() {
        environment.entry(key).or_insert(value);
    }
    let mut fill = |key: &str, value: String| {
        let entry = environment.entry(key.to_owned()).or_default();
        if entry.is_empty() {
            *entry = value;
        }
    };
    fill("CHAT_BIND_HOST", "127.0.0.1".to_owned());
    fill("CHAT_PORT", found.port.to_string());
    fill("HOME", here.home.to_string_lossy().into_owned());
    fill(ROOT, root.to_string_lossy().into_owned());
    if !public_base.is_empty() {
        fill(PUBLIC, public_base.to_owned());
    }
    environment.insert(DISPATCH.to_owned(), "on".to_owned());
    if has_assets(found) {
        let own_prefix = found.environment.get(PREFIX).cloned();
        environment.retain(|key, _| !ASSETS.contains(&key.as_str()));
        environment.extend(here.assets.clone());
        // What it has stored is below its own prefix.
        if let (Some(prefix), false) = (own_prefix, here.assets.is_empty()) {
            environment.insert(PREFIX.to_owned(), prefix);
        }
    }
    environment.retain(|_, value| !value.is_empty());
    Definition {
        arguments: Definition::arguments_for(&here.program),
        folder: here.program.parent().unwrap_or(Path::new("/")).to_owned(),
        environment,
        ..found.clone()
    }
}

/// Compares a definition with what it is to be.
pub(super) fn drift(found: &Definition, next: &Definition, here: &Here) -> Drift {
    let is_old = found.is_of_earlier_version();
    let lacks = |key: &str| found.environment.get(key).is_none_or(String::is_empty);
    let has_any = |keys: &[&str]| keys.iter().any(|key| found.environment.contains_key(*key));
    let assets_differ = assets(found) != here.assets;
    let mut drift = Drift {
        changed: false,
        code_path_changed: is_old || real(found.program()) != real(&here.program),
        working_directory_changed: real(&found.folder) != real(&next.folder),
        node_path_changed: false,
        has_legacy_release_flags: has_any(&RELEASE),
        missing_shell_env_snapshot: is_old && lacks(SNAPSHOT),
        missing_bind_host: lacks("CHAT_BIND_HOST"),
        missing_home: lacks("HOME"),
        missing_instance_root: lacks(ROOT),
        // New guests get no keys of the owner's, so one of this version without any is as it is to be.
        file_asset_environment_changed: if is_old {
            assets_differ
        } else {
            has_assets(found) && assets(found) != assets(next)
        },
        missing_public_base_url: lacks(PUBLIC) && next.environment.contains_key(PUBLIC),
        session_dispatch_changed: found.environment.get(DISPATCH) != next.environment.get(DISPATCH),
        bridge_env_present: has_any(&BRIDGE),
    };
    drift.changed = next.arguments != found.arguments
        || next.environment != found.environment
        || drift.code_path_changed
        || drift.working_directory_changed;
    drift
}

fn assets(definition: &Definition) -> BTreeMap<String, String> {
    let pairs = definition
        .environment
        .iter()
        .filter(|(key, value)| ASSETS.contains(&key.as_str()) && !value.is_empty());
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn has_assets(definition: &Definition) -> bool {
    !assets(definition).is_empty()
}

/// What executors need of the environment that an earlier version has kept for them.
fn snapshot_of(text: &str) -> BTreeMap<String, String> {
    let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
    let snapshot: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let pairs = snapshot["env"].as_object().into_iter().flatten();
    let strings = pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    strings.filter(|(key, _)| is_inherited(key)).collect()
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_config::InstanceName;

    fn found(arguments: &[&str], environment: &[(&str, &str)]) -> Definition {
        let pairs = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Definition {
            name: InstanceName::normalise("trial9").unwrap(),
            label: "com.chatserver.trial9".into(),
            path: "/a/com.chatserver.trial9.plist".into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            folder: "/srv/old".into(),
            stdout: "/l/out".into(),
            stderr: "/l/err".into(),
            environment: pairs.collect(),
            port: 7703,
        }
    }

    fn here(assets: &[(&str, &str)]) -> Here {
        let pairs = assets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Here { program: "/opt/rl/remotelab".into(), home: "/home/op".into(), assets: pairs.collect() }
    }

    const OLD: [&str; 2] = ["/usr/bin/node", "/srv/old/chat-server.mjs"];

    #[test]
    fn an_old_runtime_copy_drifts_in_the_documented_ways() {
        let old = found(
            &OLD,
            &[
                ("CHAT_PORT", "7703"),
                ("HOME", "/home/op"),
                ("REMOTELAB_ACTIVE_RELEASE_ID", "r1"),
                ("SECURE_COOKIES", "1"),
                ("SESSION_EXPIRY", "5"),
                ("MINE", "x"),
            ],
        );
        let here = here(&[("REMOTELAB_ASSET_STORAGE_REGION", "eu")]);
        let next = next(&old, &here, Path::new("/i/trial9"), "");
        assert_eq!(
            drift(&old, &next, &here),
            Drift {
                changed: true,
                code_path_changed: true,
                working_directory_changed: true,
                has_legacy_release_flags: true,
                missing_shell_env_snapshot: true,
                missing_bind_host: true,
                missing_instance_root: true,
                file_asset_environment_changed: true,
                session_dispatch_changed: true,
                ..Drift::default()
            }
        );
        let environment: Vec<String> =
            next.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            environment,
            [
                "CHAT_BIND_HOST=127.0.0.1",
                "CHAT_PORT=7703",
                "HOME=/home/op",
                "MINE=x",
                "REMOTELAB_INSTANCE_ROOT=/i/trial9",
                "REMOTELAB_SESSION_DISPATCH=on",
                "SECURE_COOKIES=1",
                "SESSION_EXPIRY=5",
            ],
            "it gets no storage of the owner's"
        );
        assert_eq!(next.arguments, ["/opt/rl/remotelab", "chat"]);
        assert_eq!((&next.stdout, next.port), (&old.stdout, 7703));
    }

    #[test]
    fn what_was_converged_is_current() {
        for assets in [vec![], vec![("REMOTELAB_ASSET_STORAGE_REGION", "eu")]] {
            let here = here(&assets);
            let environment = [("REMOTELAB_ASSET_STORAGE_REGION", "us"), ("REMOTELAB_BRIDGE_BASE_URL", "x")];
            for old in [found(&OLD, &environment), found(&OLD, &[])] {
                let once = next(&old, &here, Path::new("/i"), "https://a.b");
                let twice = next(&once, &here, Path::new("/i"), "https://a.b");
                assert_eq!(twice, once);
                assert_eq!(drift(&once, &twice, &here), Drift::default(), "{assets:?}");
            }
        }
    }

    #[test]
    fn of_a_kept_environment_only_what_executors_need_stays() {
        let kept = STANDARD.encode(r#"{"shell":"/bin/zsh","env":{"PATH":"/x/bin","SECRET":"s","LANG":"C"}}"#);
        let old = found(&OLD, &[(SNAPSHOT, &kept), ("LANG", "en")]);
        let next = next(&old, &here(&[]), Path::new("/i"), "");
        assert_eq!(next.environment["PATH"], "/x/bin");
        assert_eq!(next.environment["LANG"], "en");
        assert!(!next.environment.contains_key("SECRET") && !next.environment.contains_key(SNAPSHOT));
        assert!(!drift(&old, &next, &here(&[])).missing_shell_env_snapshot);
    }

    #[test]
    fn a_guest_with_a_storage_gets_the_owners_under_its_own_prefix() {
        let environment = [("REMOTELAB_ASSET_STORAGE_REGION", "us"), (PREFIX, "mine")];
        let here = here(&[("REMOTELAB_ASSET_STORAGE_REGION", "eu"), (PREFIX, "owner")]);
        let next = next(&found(&OLD, &environment), &here, Path::new("/i"), "");
        assert_eq!(next.environment["REMOTELAB_ASSET_STORAGE_REGION"], "eu");
        assert_eq!(next.environment[PREFIX], "mine");
    }
}
