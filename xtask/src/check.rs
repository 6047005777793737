//! `cargo xtask check`: everything that can be told without running a test.

use std::fs;
use std::path::Path;

use crate::command::{cargo, program, run};
use crate::{modules, setup, workspace};

/// Runs every check; the first that fails ends it.
pub(crate) fn all() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    modules::every_test_is_built()?;
    web_types()?;
    web_scripts()?;
    licences_and_bans()?;
    run(cargo(&["clippy", "--workspace", "--all-targets"]).args(["--", "-D", "warnings"]))
}

/// The advisory database is no part of it: it is a git repository, which not every machine reaches.
fn licences_and_bans() -> anyhow::Result<()> {
    let mut deny = program(setup::cargo_deny()?);
    // Doubled crates are warnings, and too many to read each time; `cargo deny check bans` lists them.
    deny.args(["--all-features", "--log-level", "error", "check"]);
    run(deny.args(["licenses", "bans", "sources"]))
}

/// The web UI is JavaScript as the browser gets it; its types are in comments.
fn web_types() -> anyhow::Result<()> {
    let web = workspace::root().join("instance/server/web");
    if !has_scripts(&web.join("js")) {
        return Ok(());
    }
    run(program(setup::npm_bin("tsc")?).arg("--noEmit").arg("--project").arg(web.join("tsconfig.json")))
}

/// What of the web UI's scripts can be told without a browser.
fn web_scripts() -> anyhow::Result<()> {
    let tests = workspace::entries(&workspace::root().join("instance/server/web/js/tests"))?;
    let tests = tests.iter().filter(|path| path.to_string_lossy().ends_with(".test.js"));
    run(program("node").arg("--test").args(tests))
}

fn has_scripts(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().next().is_some())
}
