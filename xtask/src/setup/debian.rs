//! Debian's packages.

use anyhow::bail;

use crate::command::{program, run, succeeds};

/// Installs those of `packages` that are missing.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !succeeds(program("apt-get").arg("--version")) {
        bail!("no apt-get on this machine; please install what these Debian packages hold: {list}");
    }
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], &missing[..]].concat())
}

fn installed(package: &str) -> bool {
    let mut query = program("dpkg-query");
    query.args(["--show", "--showformat=${Status}", package]);
    query.output().is_ok_and(|output| output.stdout == b"install ok installed")
}

fn apt_get(words: &[&str]) -> anyhow::Result<()> {
    let settings = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "--option=DPkg::Lock::Timeout=300"];
    // `env` because sudo passes no variables on.
    let mut command = if is_root() {
        program("env")
    } else {
        let mut sudo = program("sudo");
        sudo.arg("env");
        sudo
    };
    run(command.args(settings).args(words))
}

fn is_root() -> bool {
    program("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
