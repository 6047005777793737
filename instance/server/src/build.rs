//! Which build answers: `GET /api/build-info` and the first frame of a socket.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::web::assets;

/// The version of this crate, which is the product's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit and the time of a released build, where whoever builds it says so.
const COMMIT: Option<&str> = option_env!("REMOTELAB_BUILD_COMMIT");
const CREATED_AT: Option<&str> = option_env!("REMOTELAB_BUILD_TIME");

/// Only one way to run.
const MODE: &str = "source";

/// Returns the build object. It is also how a probe tells which instance answers.
pub(crate) fn info(instance_id: &str) -> Value {
    let assets = assets::version();
    let (title, label, commit) = (title(), label(), COMMIT.unwrap_or_default());
    json!({
        "version": VERSION, "commit": commit, "assetVersion": assets, "label": label, "title": title,
        "serviceVersion": VERSION, "serviceCommit": commit, "serviceDirty": false,
        "serviceFingerprint": fingerprint(), "serviceAssetVersion": assets, "serviceLabel": label,
        "serviceTitle": title, "runtimeMode": MODE, "releaseId": release(),
        "releaseCreatedAt": CREATED_AT.unwrap_or_default(), "frontendFingerprint": assets,
        "frontendLabel": assets, "frontendTitle": format!("Frontend {assets}"), "instanceId": instance_id,
    })
}

/// Returns the same in short, as headers of that answer.
pub(crate) fn headers(instance_id: &str) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let named = [
        ("x-remotelab-instance", instance_id.to_owned()),
        ("x-remotelab-runtime-mode", MODE.to_owned()),
        ("x-remotelab-release-id", release()),
        ("x-remotelab-asset-version", assets::version().to_owned()),
        ("x-remotelab-service-build", fingerprint()),
        ("x-remotelab-frontend-build", assets::version().to_owned()),
    ];
    named.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    })
}

/// Names the build for people.
pub(crate) fn title() -> String {
    format!("Service {}", label())
}

fn label() -> String {
    format!("v{VERSION}")
}

/// What a build differs by from others of its version.
fn fingerprint() -> String {
    COMMIT.map_or_else(|| VERSION.to_owned(), |commit| format!("{VERSION}-{commit}"))
}

/// Names a released build; others have no name.
fn release() -> String {
    COMMIT.map(|commit| format!("{VERSION}-{commit}")).unwrap_or_default()
}
