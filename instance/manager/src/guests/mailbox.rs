//! The mail addresses of guests.

use remotelab_config::{InstanceName, InstancePaths, atomic};
use serde::Deserialize;

/// Makes addresses from the owner's identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses(Option<Identity>);

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default)]
    local_part: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    instance_address_mode: String,
}

impl Addresses {
    /// Reads the owner's identity. One that is missing, damaged or incomplete gives no addresses: a guest
    /// works without mail.
    pub(super) fn load(owner: &InstancePaths) -> Self {
        let file = owner.mailbox().join("identity.json");
        let identity: Option<Identity> = atomic::read_json(&file).ok().flatten();
        Self(
            identity.filter(|identity| {
                !identity.local_part.trim().is_empty() && !identity.domain.trim().is_empty()
            }),
        )
    }

    /// The address of a guest, or an empty text.
    pub(super) fn of(&self, name: &InstanceName) -> String {
        let Some(identity) = &self.0 else {
            return String::new();
        };
        let local_part = identity.local_part.trim().to_lowercase();
        let domain = identity.domain.trim().trim_start_matches('@').to_lowercase();
        if identity.is_local_part_mode() {
            format!("{name}@{domain}")
        } else {
            format!("{local_part}+{name}@{domain}")
        }
    }

    /// How the mail provider has to route guests' addresses, or an empty text.
    pub(super) fn route_model(&self) -> &'static str {
        match &self.0 {
            None => "",
            Some(identity) if identity.is_local_part_mode() => "literal_worker_rules_per_address",
            Some(_) => "owner_literal_rule_plus_subaddressing",
        }
    }
}

impl Identity {
    fn is_local_part_mode(&self) -> bool {
        let mode = self.instance_address_mode.trim().to_lowercase().replace('-', "_");
        matches!(mode.as_str(), "local_part" | "direct" | "instance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(identity: &str) -> String {
        let root = tempfile::tempdir().unwrap();
        let owner = InstancePaths::below(root.path());
        std::fs::create_dir_all(owner.mailbox()).unwrap();
        std::fs::write(owner.mailbox().join("identity.json"), identity).unwrap();
        Addresses::load(&owner).of(&InstanceName::normalise("trial16").unwrap())
    }

    #[test]
    fn follows_the_identity_and_its_mode() {
        let rowan = r#"{"localPart":"rowan","domain":"example.com""#;
        assert_eq!(address(&format!("{rowan}}}")), "rowan+trial16@example.com");
        let local = format!(r#"{rowan},"instanceAddressMode":"local_part"}}"#);
        assert_eq!(address(&local), "trial16@example.com");
        assert_eq!(address(r#"{"localPart":"rowan"}"#), "");
        assert_eq!(address("{"), "");
    }
}
