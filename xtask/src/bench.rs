//! `cargo xtask bench`: figures of the release build, beside peers in the same run.

use crate::command::{cargo, run};
use crate::{setup, workspace};

pub(crate) fn all() -> anyhow::Result<()> {
    setup::for_benches()?;
    run(&mut cargo(&["build", "--release", "--workspace", "--bin", "remotelab"]))?;
    let binary = workspace::target().join("release/remotelab");
    run(cargo(&["bench", "--workspace", "--bench", "figures"]).env("REMOTELAB_BIN", binary))
}
