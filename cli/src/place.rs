//! Where this command works: the environment, the home folder and the program itself.

use std::path::PathBuf;

use anyhow::Context;
use remotelab_config::{Env, OwnerPaths};
use remotelab_manager::outside::Local;
use remotelab_manager::supervisor::SUPERVISED;

/// What the process was started with.
pub(crate) struct Place {
    pub(crate) env: Env,
    pub(crate) home: PathBuf,
}

impl Place {
    /// Reads it. That a supervisor started us is nobody's business further down: a program that we start
    /// must not take its own standard input for a supervisor.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let env: Env = Env::of_process()
            .iter()
            .filter(|(key, _)| *key != SUPERVISED)
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let home = std::env::home_dir()
            .filter(|home| home.is_absolute())
            .context("there is no home folder; set HOME to one")?;
        Ok(Self { env, home })
    }

    /// What runs here.
    pub(crate) fn local(&self) -> Local {
        let paths = self.paths();
        Local::new(&paths).with_system(&paths, &self.env)
    }

    pub(crate) fn paths(&self) -> OwnerPaths {
        OwnerPaths::from_env(&self.env, &self.home)
    }
}

/// The program that is running, to start it again under another subcommand.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find the program that is running")
}
