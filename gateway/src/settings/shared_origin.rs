//! `[shared_origin]`: what keeps tenants apart that share an origin, as far as a gateway can.

use serde::Deserialize;

use crate::headers::Isolation;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[serde(default)]
    sandbox: bool,
    #[serde(default)]
    same_origin_resources: bool,
}

impl Table {
    pub(super) fn isolation(&self) -> Isolation {
        Isolation { sandbox: self.sandbox, same_origin_resources: self.same_origin_resources }
    }
}
