//! Whether there is room left.

use remotelab_store::housekeeping;

use super::{Finding, Patient, Status};

const GIB: u64 = 1 << 30;

pub(super) fn room(patient: &Patient) -> Vec<Finding> {
    let Ok(disk) = rustix::fs::statvfs(patient.paths.config()) else { return Vec::new() };
    let free = housekeeping::free(patient.paths.config());
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    vec![judged(free, total)]
}

/// Nothing is accepted when the disk is full, so that the operator should hear of it before.
fn judged(free: u64, total: u64) -> Finding {
    let percent = free.saturating_mul(100).checked_div(total).unwrap_or(100);
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let message = format!("{:.1} GiB of the disk are free ({percent} %)", free as f64 / GIB as f64);
    let status = match free {
        _ if free < GIB / 2 || (percent < 2 && free < 10 * GIB) => Status::Fail,
        _ if free < 2 * GIB || (percent < 10 && free < 20 * GIB) => Status::Warn,
        _ => Status::Ok,
    };
    let finding = Finding::new("disk", status, message);
    if status == Status::Ok { finding } else { finding.with_fix("remotelab storage usage") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_disk_is_judged_by_what_is_free() {
        for (free, total, status) in [
            (100 * GIB, 1_000 * GIB, Status::Ok),
            (50 * GIB, 10_000 * GIB, Status::Ok),
            (15 * GIB, 1_000 * GIB, Status::Warn),
            (GIB, 8 * GIB, Status::Warn),
            (5 * GIB, 1_000 * GIB, Status::Fail),
            (GIB / 4, GIB, Status::Fail),
        ] {
            assert_eq!(judged(free, total).status, status, "{free} of {total}");
        }
    }
}
