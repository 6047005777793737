//! `cargo xtask screenshots`: the pictures of `docs/`, made by the tests that drive the browser.

use crate::command::{cargo, run};
use crate::{setup, workspace};

pub(crate) fn make() -> anyhow::Result<()> {
    setup::for_tests()?;
    run(&mut cargo(&["build", "--workspace", "--bins"]))?;
    let pictures = workspace::root().join("docs/images");
    run(cargo(&["test", "--workspace", "--test", "blackbox", "ui::pictures::"])
        .env("REMOTELAB_SCREENSHOTS", pictures))
}
