//! Whether what is stored can be read.

use std::time::Duration;

use jiff::Timestamp;
use remotelab_store::damage;
use remotelab_store::housekeeping::{Kind, Plan, prune};

use super::{Finding, Patient, Status};

/// How many records are named before the rest is counted.
const NAMED: usize = 50;

pub(super) fn damaged(patient: &Patient) -> Vec<Finding> {
    let damaged = damage::scan(&patient.paths);
    if damaged.is_empty() {
        return vec![Finding::new("records", Status::Ok, "every record can be read")];
    }
    let named = damaged.iter().take(NAMED).map(|damage| {
        let message = format!(
            "{} is damaged ({}); put a copy from a backup in its place or move it away while the server is stopped",
            damage.path.display(),
            damage.reason
        );
        Finding::new("records", Status::Fail, message)
    });
    let more = damaged.len().saturating_sub(NAMED);
    let rest = (more > 0).then(|| Finding::new("records", Status::Fail, format!("{more} more are damaged")));
    named.chain(rest).collect()
}

pub(super) fn half_written(patient: &Patient) -> Vec<Finding> {
    let plan = Plan {
        kinds: vec![Kind::Temporary],
        older_than: Duration::ZERO,
        dry_run: true,
        now: Timestamp::now(),
    };
    let left = prune(&patient.paths, &plan).removed.len();
    if left == 0 {
        return Vec::new();
    }
    let message = format!("{left} half-written files are left of a crash; they do no harm");
    let fix = "remotelab storage prune --what temporary --yes";
    vec![Finding::new("records", Status::Warn, message).with_fix(fix)]
}
