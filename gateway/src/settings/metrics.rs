//! `[metrics]`: figures for programs of this machine that cannot read the control socket.

use serde::Deserialize;

use super::file::Wrong;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    port: Option<u16>,
}

impl Table {
    pub(super) fn port(&self) -> Result<Option<u16>, Wrong> {
        match self.port {
            Some(0) => Err(Wrong::new("metrics.port", "is not 1–65535")),
            port => Ok(port),
        }
    }
}
