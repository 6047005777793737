//! `guest-instance-defaults.json`: base addresses for the links of guests.

use std::path::Path;

use serde::Deserialize;

use crate::{Env, InstanceName, atomic};

/// Base addresses by which guests are reached from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestDefaults {
    /// Domain below which new guests get a host name.
    pub public_domain: Option<String>,
    /// Base for path-prefix links; `/<name>` is appended.
    pub bridge_root: Option<String>,
    /// Base for path-prefix links with `{name}` in it.
    pub bridge_template: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stored {
    mainland_base_url: String,
    mainland_access_base_url: String,
    public_domain: String,
    public_domain_suffix: String,
    bridge_base_url_template: String,
    bridge_root_base_url: String,
}

impl GuestDefaults {
    /// Reads the file and lays the environment over it. All generations of the names are understood.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn load(path: &Path, env: &Env) -> Result<Self, atomic::Error> {
        let stored: Stored = atomic::read_json(path)?.unwrap_or_default();
        let pick = |key: &str, stored: &[&str]| {
            env.get(key)
                .into_iter()
                .chain(stored.iter().copied())
                .map(str::trim)
                .find(|text| !text.is_empty())
                .map(|text| text.trim_end_matches('/').to_owned())
        };
        let legacy_root = pick(
            "REMOTELAB_GUEST_MAINLAND_BASE_URL",
            &[&stored.mainland_base_url, &stored.mainland_access_base_url],
        );
        Ok(Self {
            public_domain: pick(
                "REMOTELAB_GUEST_PUBLIC_DOMAIN",
                &[&stored.public_domain, &stored.public_domain_suffix],
            )
            .map(|domain| domain.trim_matches('.').to_lowercase()),
            bridge_root: pick("REMOTELAB_BRIDGE_ROOT_BASE_URL", &[&stored.bridge_root_base_url])
                .or(legacy_root),
            bridge_template: pick("REMOTELAB_BRIDGE_BASE_URL_TEMPLATE", &[&stored.bridge_base_url_template]),
        })
    }

    /// Returns the path-prefix base of a guest, without a trailing slash.
    #[must_use]
    pub fn bridge_base(&self, name: &InstanceName) -> Option<String> {
        match (&self.bridge_template, &self.bridge_root) {
            (Some(template), _) => Some(template.replace("{name}", name.as_str())),
            (None, Some(root)) => Some(format!("{root}/{name}")),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_every_generation_of_names() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("defaults.json");
        let trial1 = InstanceName::normalise("trial1").unwrap();
        let base = |json: &str, env: &[(&str, &str)]| {
            std::fs::write(&path, json).unwrap();
            GuestDefaults::load(&path, &env.iter().copied().collect()).unwrap().bridge_base(&trial1)
        };
        let expected = Some("https://cn.example.net/trial1".to_owned());
        assert_eq!(base(r#"{"mainlandBaseUrl":"https://cn.example.net/"}"#, &[]), expected);
        assert_eq!(base(r#"{"bridgeRootBaseUrl":"https://cn.example.net"}"#, &[]), expected);
        assert_eq!(base(r#"{"bridgeBaseUrlTemplate":"https://cn.example.net/{name}/"}"#, &[]), expected);
        assert_eq!(base("{}", &[("REMOTELAB_GUEST_MAINLAND_BASE_URL", "https://cn.example.net")]), expected);
        assert_eq!(base("{}", &[]), None);
    }
}
