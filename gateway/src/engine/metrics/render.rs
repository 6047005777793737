//! All figures as text that Prometheus reads.

use std::fmt::{self, Write};
use std::fs;
use std::sync::atomic::Ordering;

use super::Traffic;
use crate::engine::Core;
use crate::engine::live::Live;
use crate::limit::Reason;
use crate::route::build::Problem;

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// What the gateway answered for itself.
const NOBODY: &str = "";

/// Writes them. Labels are names of routes in force, so a removed tenant's figures end, and nobody can make
/// new ones by asking for them.
pub(crate) fn render(core: &Core, live: &Live) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = tenants(core, live, &mut text);
    let _ = whole(core, live, &mut text);
    text
}

fn tenants(core: &Core, live: &Live, to: &mut String) -> fmt::Result {
    let tenants =
        || live.upstreams.iter().map(|upstream| (upstream.route.name.as_str(), &*upstream.standing));
    let all = || {
        let own: (&str, &Traffic) = (NOBODY, &core.metrics.own);
        std::iter::once(own).chain(tenants().map(|(name, standing)| (name, &standing.traffic)))
    };
    writeln!(to, "# TYPE gateway_requests_total counter")?;
    for (tenant, traffic) in all() {
        for (class, count) in CLASSES.iter().zip(&traffic.requests).filter(|(_, count)| count.get() > 0) {
            let count = count.get();
            writeln!(to, "gateway_requests_total{{tenant=\"{tenant}\",class=\"{class}\"}} {count}")?;
        }
    }
    writeln!(to, "# TYPE gateway_bytes_total counter")?;
    for (tenant, traffic) in all() {
        for (way, bytes) in [("in", &traffic.bytes_in), ("out", &traffic.bytes_out)] {
            let bytes = bytes.get();
            writeln!(to, "gateway_bytes_total{{tenant=\"{tenant}\",direction=\"{way}\"}} {bytes}")?;
        }
    }
    writeln!(to, "# TYPE gateway_requests_in_flight gauge")?;
    for (tenant, standing) in tenants() {
        let inside = standing.requests.inside();
        writeln!(to, "gateway_requests_in_flight{{tenant=\"{tenant}\"}} {inside}")?;
    }
    writeln!(to, "# TYPE gateway_sockets_open gauge")?;
    for (tenant, standing) in tenants() {
        let open = standing.sockets.load(Ordering::Relaxed);
        writeln!(to, "gateway_sockets_open{{tenant=\"{tenant}\"}} {open}")?;
    }
    writeln!(to, "# TYPE gateway_connections_pooled gauge")?;
    for upstream in &live.upstreams {
        let (tenant, idle) = (&upstream.route.name, upstream.pool.idle());
        writeln!(to, "gateway_connections_pooled{{tenant=\"{tenant}\"}} {idle}")?;
    }
    Ok(())
}

fn whole(core: &Core, live: &Live, to: &mut String) -> fmt::Result {
    let metrics = &core.metrics;
    metrics.overhead.write("gateway_overhead_seconds", to)?;
    metrics.upstream.write("gateway_upstream_seconds", to)?;
    metrics.wakes.write("gateway_wake_seconds", to)?;
    writeln!(to, "# TYPE gateway_limit_rejections_total counter")?;
    for reason in Reason::ALL {
        let count = core.limits.refused(reason);
        writeln!(to, "gateway_limit_rejections_total{{reason=\"{}\"}} {count}", reason.as_str())?;
    }
    let drift = live.problems.iter().filter(|problem| matches!(problem, Problem::Drift(..))).count();
    for (name, kind, value) in [
        ("gateway_route_generation", "gauge", live.generation),
        ("gateway_routes", "gauge", live.upstreams.len() as u64),
        ("gateway_route_drift", "gauge", drift as u64),
        ("gateway_route_problems", "gauge", live.problems.len() as u64),
        ("gateway_reload_failures_total", "counter", metrics.failed_reloads.get()),
        ("gateway_wake_failures_total", "counter", metrics.failed_wakes.get()),
        ("gateway_panics_total", "counter", metrics.panics.get()),
        ("gateway_log_lines_lost_total", "counter", core.ledger.lost.get()),
    ] {
        writeln!(to, "# TYPE {name} {kind}\n{name} {value}")?;
    }
    if let Some(open) = open_files() {
        writeln!(to, "# TYPE process_open_fds gauge\nprocess_open_fds {open}")?;
    }
    Ok(())
}

/// Without the one that the look itself takes.
fn open_files() -> Option<usize> {
    Some(fs::read_dir("/dev/fd").ok()?.count().saturating_sub(1))
}
