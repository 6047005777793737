//! The executor that the owner picked last: `ui-runtime-selection.json`, which connectors read.

use remotelab_config::{InstancePaths, atomic};
use serde::{Deserialize, Serialize};

use crate::clock::now_iso;

/// The stored selection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Selection {
    pub(crate) selected_tool: String,
    pub(crate) selected_model: String,
    pub(crate) selected_effort: String,
    pub(crate) thinking_enabled: bool,
    pub(crate) reasoning_kind: String,
    pub(crate) updated_at: String,
}

/// Reads the selection; a missing or damaged file is none. Blocks.
pub(crate) fn load(paths: &InstancePaths) -> Option<Selection> {
    atomic::read_json(&paths.runtime_selection()).ok().flatten()
}

/// Stores a selection and returns it with its time. Blocks.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save(paths: &InstancePaths, mut selection: Selection) -> Result<Selection, atomic::Error> {
    if !["toggle", "enum"].contains(&selection.reasoning_kind.as_str()) {
        selection.reasoning_kind = "none".to_owned();
    }
    selection.updated_at = now_iso();
    atomic::write_json(&paths.runtime_selection(), &selection)?;
    Ok(selection)
}
