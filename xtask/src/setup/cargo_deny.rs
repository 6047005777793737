//! `cargo-deny`, the reader of `deny.toml`.

use std::path::PathBuf;

use crate::command::{cargo, program, run, succeeds};
use crate::workspace;

const VERSION: &str = "0.20.2";

/// Builds it once, about two minutes, unless it is there already.
pub(crate) fn install() -> anyhow::Result<()> {
    if succeeds(program(path()?).arg("--version")) {
        return Ok(());
    }
    let mut install = cargo(&["install", "--locked", "--version", VERSION, "--root"]);
    install.arg(home()?).arg("cargo-deny");
    // In the workspace's target folder it would take room for ever.
    run(install.env_remove("CARGO_TARGET_DIR"))
}

/// The program: one on the search path, else the one built here.
pub(crate) fn path() -> anyhow::Result<PathBuf> {
    if succeeds(program("cargo-deny").arg("--version")) {
        return Ok("cargo-deny".into());
    }
    Ok(home()?.join("bin/cargo-deny"))
}

fn home() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join("cargo"))
}
