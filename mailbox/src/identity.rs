//! `identity.json`: who the owner is by mail, and how guests' addresses are spelt.

use remotelab_config::InstanceName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The mail identity of an installation; keys we do not know survive a rewrite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Display name.
    pub name: String,
    /// Part before the `@` of the owner's address.
    pub local_part: String,
    /// Mail domain.
    pub domain: String,
    /// The owner's address.
    #[serde(default)]
    pub address: String,
    /// Free text for the operator.
    #[serde(default)]
    pub description: String,
    /// How the addresses of guests are spelt when we write them.
    #[serde(default)]
    pub instance_address_mode: AddressMode,
    /// Everything else that stands in the file.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How the address of a guest is spelt. On input both spellings are always understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressMode {
    /// `rowan+trial4@example.com`
    #[default]
    Plus,
    /// `trial4@example.com`
    LocalPart,
}

impl AddressMode {
    /// Reads any of the accepted spellings; an unknown one means [`AddressMode::Plus`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "local_part" | "direct" | "instance" => Self::LocalPart,
            _ => Self::Plus,
        }
    }
}

impl<'de> Deserialize<'de> for AddressMode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value.as_str().map(Self::parse).unwrap_or_default())
    }
}

impl Identity {
    /// Puts the parts into the form they are compared in.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        self.name = self.name.trim().to_owned();
        self.local_part = self.local_part.trim().to_lowercase();
        self.domain = self.domain.trim().trim_start_matches('@').to_lowercase();
        if self.address.trim().is_empty() {
            self.address = self.owner_address();
        }
        self
    }

    /// Returns the owner's own address, derived from its parts.
    #[must_use]
    pub fn owner_address(&self) -> String {
        format!("{}@{}", self.local_part, self.domain)
    }

    /// Returns the address of a guest in this installation's spelling.
    #[must_use]
    pub fn guest_address(&self, name: &InstanceName) -> String {
        match self.instance_address_mode {
            AddressMode::Plus => format!("{}+{name}@{}", self.local_part, self.domain),
            AddressMode::LocalPart => format!("{name}@{}", self.domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_file_and_derives_what_is_missing() {
        let identity: Identity = serde_json::from_str(
            r#"{"name":" Rowan ","localPart":"Rowan","domain":"@Example.com","instanceAddressMode":"LOCAL-part","status":"x"}"#,
        )
        .unwrap();
        let identity = identity.normalised();
        assert_eq!(identity.address, "rowan@example.com");
        assert_eq!(identity.rest["status"], "x");
        let name = InstanceName::normalise("trial4").unwrap();
        assert_eq!(identity.guest_address(&name), "trial4@example.com");
        let plus = Identity { instance_address_mode: AddressMode::Plus, ..identity };
        assert_eq!(plus.guest_address(&name), "rowan+trial4@example.com");
    }
}
