//! `[root]`: what stands where no instance is.

use serde::Deserialize;

/// What `/` answers, when no instance is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// A page that names nobody.
    #[default]
    Neutral,
    /// A page with a link to each instance.
    Names,
    /// 404.
    Off,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[serde(default)]
    pub(super) index: Root,
    pub(super) last_prefix_redirect: Option<bool>,
}
