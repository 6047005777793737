//! A place of the kernel's control groups for all runs of an instance, where the system has handed a part of them to
//! us: `Delegate=yes` in a unit of systemd. The kernel then keeps them to their limits together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remotelab_config::limits::Limits;

/// Where the second version of control groups is mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// The part in which our own processes are, beside those of runs.
const OURS: &str = "remotelab";
/// How long a share of the processor is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// Makes a place for the runs of an instance, or sets the one that is there to its limits. `None` where nothing was
/// handed to us, or it does not work; then runs have to be watched. Blocks.
#[must_use]
pub fn place(instance: &str, limits: &Limits) -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let place =
        delegated(&Path::new(MOUNT).join(own), &is_delegated).map(|root| make(&root, instance, limits))?;
    place.inspect_err(|error| tracing::warn!(%error, "no control group for runs could be made")).ok()
}

/// Moves this process, and so all that it starts, into a place.
///
/// # Errors
/// When the kernel refuses.
pub fn enter(place: &Path) -> io::Result<()> {
    write(place, "cgroup.procs", &std::process::id().to_string())
}

/// Whoever handed it over has marked it.
fn is_delegated(folder: &Path) -> bool {
    let mut value = [0; 8];
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        rustix::fs::getxattr(folder, *name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

/// The folder that was handed over: that of this process, or, when it is in our part of it, the one above.
fn delegated(own: &Path, is_delegated: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let above = own.parent().filter(|_| own.ends_with(OURS));
    above.into_iter().chain([own]).find(|folder| is_delegated(folder)).map(Path::to_owned)
}

fn make(root: &Path, instance: &str, limits: &Limits) -> io::Result<PathBuf> {
    let wanted = [
        ("memory", limits.memory.is_some()),
        ("pids", limits.tasks.is_some()),
        ("cpu", limits.cpu.is_some()),
    ];
    let on = fs::read_to_string(root.join("cgroup.subtree_control"))?;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(name, is_wanted)| *is_wanted && !on.split_whitespace().any(|word| word == *name))
        .map(|(name, _)| format!("+{name}"))
        .collect();
    if !missing.is_empty() {
        // What has parts of its own may hold no processes.
        let ours = root.join(OURS);
        fs::create_dir_all(&ours)?;
        for process in fs::read_to_string(root.join("cgroup.procs"))?.lines() {
            // One that has ended meanwhile is none to move.
            let _ = write(&ours, "cgroup.procs", process);
        }
        write(root, "cgroup.subtree_control", &missing.join(" "))?;
    }
    let place = root.join(format!("runs-{instance}"));
    fs::create_dir_all(&place)?;
    for (file, text) in settings(limits) {
        write(&place, file, &text)?;
    }
    Ok(place)
}

/// What is written where; without a limit what there is none of.
fn settings(limits: &Limits) -> Vec<(&'static str, String)> {
    let Limits { memory, tasks, cpu } = *limits;
    let number = |number: u64| number.to_string();
    let share = |cpu: u32| format!("{} {PERIOD}", u64::from(cpu) * PERIOD / 100);
    [
        ("memory.max", memory.map(number)),
        // Otherwise it would only go to the disk.
        ("memory.swap.max", memory.map(|_| number(0))),
        ("pids.max", tasks.map(number)),
        ("cpu.max", cpu.map(share)),
    ]
    .into_iter()
    .filter_map(|(file, text)| Some((file, text?)))
    .collect()
}

fn write(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    fs::write(folder.join(file), text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.join(file).display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a made-up tree: here nothing is handed over.
    #[test]
    fn a_place_has_the_limits_and_our_processes_make_room() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::write(root.join("cgroup.subtree_control"), "pids\n").unwrap();
        fs::write(root.join("cgroup.procs"), "12\n13\n").unwrap();
        let limits = Limits { memory: Some(1 << 30), tasks: Some(50), cpu: Some(150) };
        let place = make(root, "trial1", &limits).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(place, root.join("runs-trial1"));
        assert_eq!(read("runs-trial1/memory.max"), "1073741824");
        assert_eq!(read("runs-trial1/memory.swap.max"), "0");
        assert_eq!(read("runs-trial1/pids.max"), "50");
        assert_eq!(read("runs-trial1/cpu.max"), "150000 100000");
        assert_eq!(read("cgroup.subtree_control"), "+memory +cpu");
        assert_eq!(read("remotelab/cgroup.procs"), "13", "the last of those that were moved");
        assert_eq!(settings(&Limits::default()), []);
    }

    #[test]
    fn only_what_was_handed_over_is_used() {
        let marked = |folder: &Path| folder == Path::new("/c/r.service");
        let found = |own: &str| delegated(Path::new(own), &marked);
        let root = Some(PathBuf::from("/c/r.service"));
        assert_eq!((found("/c/r.service"), found("/c/r.service/remotelab")), (root.clone(), root));
        assert_eq!((found("/c/session.scope"), found("/c/r.service/other")), (None, None));
    }
}
