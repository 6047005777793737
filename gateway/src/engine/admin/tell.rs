//! What is in force, in JSON.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::engine::Core;
use crate::engine::live::Live;
use crate::limit::Reason;

pub(super) fn routes(live: &Live) -> Value {
    let routes: Vec<Value> = live
        .upstreams
        .iter()
        .map(|upstream| (&upstream.route, &upstream.standing))
        .map(|(route, standing)| {
            json!({
                "name": route.name,
                "id": route.id,
                "kind": route.kind.as_str(),
                "foreign": route.policy.foreign,
                "prefix": route.prefix,
                "hosts": route.hosts,
                "upstream": route.upstream.to_string(),
                "requests": standing.requests.inside(),
                "sockets": standing.sockets.load(Ordering::Relaxed),
            })
        })
        .collect();
    let problems: Vec<String> = live.problems.iter().map(ToString::to_string).collect();
    json!({ "generation": live.generation, "routes": routes, "problems": problems })
}

pub(super) fn health(core: &Core, live: &Live) -> Value {
    let refused: serde_json::Map<String, Value> = Reason::ALL
        .map(|reason| (reason.as_str().to_owned(), core.limits.refused(reason)))
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason, count.into()))
        .collect();
    json!({
        "status": "ok",
        "generation": live.generation,
        "routes": live.table.routes().len(),
        "problems": live.problems.len(),
        "panics": core.metrics.panics.get(),
        "refused": refused,
    })
}
