//! A file tree, processes and shared memory of a run's own, made by `bwrap`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::policy::{self, Policy};

/// Where it is looked for: not in a path that others set.
const PLACES: &[&str] = &["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];

/// What programs of root keep of root's rights.
const KEPT: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_NET_BIND_SERVICE",
];

/// Namespaces of its own: everything but the network, where ports are guarded. It does not die with its parent:
/// that would be the thread which starts it, and the runner ends whole process groups.
const APART: &[&str] = &["--unshare-pid", "--unshare-ipc", "--unshare-uts"];

/// Tells whether runs can get namespaces here: the program is there, and the kernel lets it.
pub(super) fn work() -> bool {
    let Some(bwrap) = find() else { return false };
    let mut trial = Command::new(bwrap);
    trial.args(APART).args([
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--",
        "/bin/sh",
        "-c",
        ":",
    ]);
    let trial = trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    trial.is_ok_and(|status| status.success())
}

fn find() -> Option<&'static Path> {
    PLACES.iter().map(Path::new).find(|place| place.is_file())
}

/// The call of `bwrap` that starts a program so. Blocks.
pub(super) fn wrapped(
    policy: &Policy,
    program: &Path,
    args: &[String],
    folder: &Path,
) -> (PathBuf, Vec<OsString>) {
    let is_root = rustix::process::geteuid().is_root();
    let mut call = arguments(policy, is_root);
    call.extend(["--chdir".into(), folder.into(), "--".into(), program.into()]);
    call.extend(args.iter().map(Into::into));
    (find().unwrap_or(Path::new(PLACES[0])).to_owned(), call)
}

fn arguments(policy: &Policy, is_root: bool) -> Vec<OsString> {
    let mut call: Vec<OsString> = APART.iter().map(Into::into).collect();
    let mut add = |words: &[&OsStr]| call.extend(words.iter().map(Into::into));
    if is_root {
        add(&["--cap-drop".as_ref(), "ALL".as_ref()]);
        for capability in KEPT {
            add(&["--cap-add".as_ref(), capability.as_ref()]);
        }
    }
    add(&["--proc".as_ref(), "/proc".as_ref(), "--dev".as_ref(), "/dev".as_ref()]);
    // Before what lies in it: an instance may.
    let is_inside = policy.write.iter().chain(&policy.read).any(|path| path.starts_with("/tmp"));
    if is_inside {
        add(&["--tmpfs".as_ref(), "/tmp".as_ref()]);
    } else {
        add(&["--bind-try".as_ref(), policy.temporary.as_ref(), "/tmp".as_ref()]);
    }
    let of_kernel = policy::KERNEL.iter().filter(|path| !path.starts_with("/proc"));
    let of_system = policy::SYSTEM.iter().chain(policy::SETTINGS).chain(of_kernel).map(PathBuf::from);
    // In the order of their paths, so that what lies in another comes after it.
    let mut shown: Vec<(PathBuf, &str)> = of_system
        .chain(policy.read.iter().cloned())
        .map(|path| (path, "--ro-bind-try"))
        .chain(policy.write.iter().cloned().map(|path| (path, "--bind-try")))
        .flat_map(|(path, how)| {
            let target = path.canonicalize().ok().filter(|target| *target != path);
            [Some((path, how)), target.map(|target| (target, how))]
        })
        .flatten()
        .collect();
    shown.sort();
    for (path, how) in &shown {
        add(&[how.as_ref(), path.as_ref(), path.as_ref()]);
    }
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_comes_after_what_is_around_it() {
        let policy = Policy {
            write: vec!["/g/t/workspace".into(), "/g/t/config/homes".into()],
            read: vec!["/g/t/config".into()],
            temporary: "/g/t/tmp".into(),
            ..Policy::default()
        };
        let call: Vec<String> =
            arguments(&policy, false).into_iter().map(|word| word.into_string().unwrap()).collect();
        let place = |path: &str| call.iter().position(|word| word == path).unwrap();
        assert!(place("/g/t/config") < place("/g/t/config/homes"));
        assert!(call.windows(3).any(|words| words == ["--bind-try", "/g/t/tmp", "/tmp"]));
        assert!(!call.contains(&"--cap-drop".to_owned()));
        assert!(!call.iter().any(|word| word == "/" || word == "/proc/sys"));
        assert!(arguments(&policy, true).contains(&"--cap-drop".into()));
    }
}
