//! Which build answers: `GET /api/build-info` and the first frame of a socket.

use serde_json::{Value, json};

use crate::web::assets;

/// The version of this crate, which is the product's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the build object. It is also how a probe tells which instance answers.
pub(crate) fn info(instance_id: &str) -> Value {
    let assets = assets::version();
    let title = title();
    let label = format!("v{VERSION}");
    json!({
        "version": VERSION, "commit": "", "assetVersion": assets, "label": label, "title": title,
        "serviceVersion": VERSION, "serviceCommit": "", "serviceDirty": false, "serviceFingerprint": VERSION,
        "serviceAssetVersion": assets, "serviceLabel": label, "serviceTitle": title, "runtimeMode": "source",
        "releaseId": "", "releaseCreatedAt": "", "frontendFingerprint": assets, "frontendLabel": assets,
        "frontendTitle": assets, "instanceId": instance_id,
    })
}

/// Names the build for people.
pub(crate) fn title() -> String {
    format!("Service v{VERSION}")
}
