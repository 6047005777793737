//! How a run finds `remotelab`: a small folder per version, and a link that stays.
//!
//! ```text
//! <config>/program/bin/remotelab              link to the program that runs now: REMOTELAB_BIN
//! <config>/program/<version>/bin/remotelab    the same, first in a run's PATH
//! <config>/program/<version>/cli.js           for `node "$REMOTELAB_PROJECT_ROOT/cli.js" <verb>`
//! ```
//!
//! Links are replaced in one step, so that a run that is under way while the program is upgraded finds one at
//! every moment.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use remotelab_config::{InstancePaths, atomic};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NAME: &str = "remotelab";

/// Starts the program from Node. Its folder says that it is CommonJS, whatever stands above it.
const CLI_JS: &str = r#"#!/usr/bin/env node
'use strict';
const { spawn } = require('node:child_process');
const { join } = require('node:path');

const program = join(__dirname, 'bin', 'remotelab');
const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const pass = (signal) => child.kill(signal);
for (const signal of signals) process.on(signal, pass);
child.on('error', (error) => {
  console.error(`error: cannot start ${program}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  for (const name of signals) process.removeListener(name, pass);
  if (signal) process.kill(process.pid, signal);
  else process.exit(code ?? 1);
});
"#;
const PACKAGE: &str = "{ \"type\": \"commonjs\" }\n";

/// Where runs find the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// The folder with `cli.js`.
    pub project_root: PathBuf,
    /// The folder that begins a run's `PATH`.
    pub bin: PathBuf,
    /// A link to the program that outlives its version.
    pub program: PathBuf,
}

impl Launcher {
    /// Makes the folder of this version and leads all links to `program`, those of older versions too when
    /// theirs has gone. Blocks.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn prepare(paths: &InstancePaths, program: &Path) -> Result<Self, atomic::Error> {
        let root = paths.program();
        let project_root = root.join(VERSION);
        let bin = project_root.join("bin");
        for folder in [&bin, &root.join("bin")] {
            atomic::create_private_dir(folder)?;
        }
        for (name, text) in [("cli.js", CLI_JS), ("package.json", PACKAGE)] {
            let path = project_root.join(name);
            if atomic::read(&path)?.as_deref() != Some(text.as_bytes()) {
                atomic::write_private(&path, text.as_bytes())?;
            }
        }
        let stable = root.join("bin").join(NAME);
        for link in [bin.join(NAME), stable.clone()] {
            lead(&link, program).map_err(|source| atomic::Error::new("link", &link, source))?;
        }
        mend_older(&root, program).map_err(|source| atomic::Error::new("link", &root, source))?;
        Ok(Self { project_root, bin, program: stable })
    }
}

/// Leads a link to a program, in one step.
fn lead(link: &Path, program: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    let temporary = link.with_file_name(format!(".{NAME}-{:016x}", rand::random::<u64>()));
    symlink(program, &temporary)?;
    let renamed = fs::rename(&temporary, link);
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Runs of an older version that are still under way keep a program.
fn mend_older(root: &Path, program: &Path) -> io::Result<()> {
    for version in fs::read_dir(root)? {
        let link = version?.path().join("bin").join(NAME);
        if link.is_symlink() && !link.exists() {
            lead(&link, program)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    fn program(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\"\nexit 7\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn said(command: &mut Command) -> (String, Option<i32>) {
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    #[test]
    fn the_links_follow_an_upgrade() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let old = program(root.path(), "old");
        let launcher = Launcher::prepare(&paths, &old).unwrap();
        let expected = Launcher {
            project_root: paths.config().join("program").join(VERSION),
            bin: paths.config().join("program").join(VERSION).join("bin"),
            program: paths.config().join("program/bin/remotelab"),
        };
        assert_eq!(launcher, expected);
        let earlier = paths.config().join("program/0.0.1/bin");
        fs::create_dir_all(&earlier).unwrap();
        symlink(&old, earlier.join(NAME)).unwrap();

        let new = program(root.path(), "new");
        fs::remove_file(&old).unwrap();
        assert_eq!(Launcher::prepare(&paths, &new).unwrap(), launcher);
        for link in [launcher.program.clone(), launcher.bin.join(NAME), earlier.join(NAME)] {
            assert_eq!(said(Command::new(&link).arg("x")), ("new x\n".to_owned(), Some(7)), "{link:?}");
        }
        let left: Vec<_> = fs::read_dir(&launcher.bin).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn node_starts_it_too() {
        if Command::new("node").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "node is missing");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        // A folder above ours speaks another dialect.
        fs::write(root.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
        let launcher = Launcher::prepare(&paths, &program(root.path(), "mine")).unwrap();
        let mut node = Command::new("node");
        node.arg(launcher.project_root.join("cli.js")).args(["api", "GET", "/x y"]);
        assert_eq!(said(&mut node), ("mine api GET /x y\n".to_owned(), Some(7)));
    }
}
