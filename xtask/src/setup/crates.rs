//! Programs from crates.io: the reader of `deny.toml`, and an object storage for the tests.

use std::path::PathBuf;

use crate::command::{cargo, program, run, succeeds};
use crate::workspace;

/// A program and how it is built.
struct Program {
    name: &'static str,
    version: &'static str,
    features: &'static str,
}

const DENY: Program = Program { name: "cargo-deny", version: "0.20.2", features: "default" };

/// It checks signatures as Amazon does, which those from npm and PyPI do not.
const STORAGE: Program = Program { name: "s3s-fs", version: "0.14.1", features: "binary" };

/// Builds `cargo-deny` once, about two minutes, unless it is there already.
pub(crate) fn install_deny() -> anyhow::Result<()> {
    install(&DENY, deny()?)
}

/// Builds `s3s-fs` once, about two minutes, unless it is there already.
pub(crate) fn install_storage() -> anyhow::Result<()> {
    install(&STORAGE, home()?.join("bin").join(STORAGE.name))
}

/// The path of `cargo-deny`: one on the search path, else the one built here.
pub(crate) fn deny() -> anyhow::Result<PathBuf> {
    if succeeds(program(DENY.name).arg("--version")) {
        return Ok(DENY.name.into());
    }
    Ok(home()?.join("bin").join(DENY.name))
}

fn install(wanted: &Program, path: PathBuf) -> anyhow::Result<()> {
    if succeeds(program(path).arg("--version")) {
        return Ok(());
    }
    let mut install = cargo(&["install", "--locked", "--version", wanted.version, "--root"]);
    install.arg(home()?).args(["--features", wanted.features, wanted.name]);
    // In the workspace's target folder it would take room for ever.
    run(install.env_remove("CARGO_TARGET_DIR"))
}

fn home() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join("cargo"))
}
