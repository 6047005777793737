//! Whether runs of a guest are kept to their guest.

use remotelab_config::containment::{Isolation, Level};
use remotelab_executor::contain::{self, Walls};

use super::{Finding, Patient, Status};

pub(super) fn walls(patient: &Patient) -> Vec<Finding> {
    // The owner's own runs may see what the owner may.
    let Some(containment) = &patient.containment else { return Vec::new() };
    let Patient { name, .. } = patient;
    if containment.level == Level::Off {
        let message = format!("runs of {name} see whatever their system user sees, other instances too");
        let fix = format!("remotelab guest-instance limits {name} --contain on");
        return vec![Finding::new("containment", Status::Warn, message).with_fix(fix)];
    }
    let here = Walls::here();
    vec![judge(
        name,
        Walls { namespaces: here.namespaces && containment.isolation != Isolation::Never, ..here },
    )]
}

fn judge(name: &str, walls: Walls) -> Finding {
    let gaps = walls.gaps();
    if gaps.is_empty() {
        let message = format!("runs of {name} are contained ({})", walls.words());
        return Finding::new("containment", Status::Ok, message);
    }
    let gaps = contain::list(&gaps);
    let message = format!("runs of {name} are contained in part ({}); nothing guards {gaps}", walls.words());
    let finding = Finding::new("containment", Status::Warn, message);
    if walls.namespaces { finding } else { finding.with_fix("apt-get install bubblewrap") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_told() {
        let told = |landlock, namespaces| judge("one", Walls { landlock, namespaces, filter: true });
        let whole = told(7, true);
        let message = "runs of one are contained (namespaces, Landlock 7, a system call filter)";
        assert_eq!((whole.status, whole.message.as_str(), whole.fix), (Status::Ok, message, None));
        let none = told(0, false);
        assert_eq!(
            none.message,
            "runs of one are contained in part (no namespaces, no Landlock, a system call filter); nothing guards \
             files, modes of files, command lines, TCP ports, signals"
        );
        assert_eq!((none.status, none.fix.as_deref()), (Status::Warn, Some("apt-get install bubblewrap")));
    }
}
