//! Where things are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The root of the workspace. Asked at run time: one target folder may serve several checkouts.
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    match here.as_deref().and_then(Path::parent) {
        Some(root) => root.to_owned(),
        None => ".".into(),
    }
}

/// The folder that keeps what the tests need, outside the checkout so that all checkouts share it.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    if let Some(cache) = env::var_os("REMOTELAB_TEST_CACHE") {
        return Ok(cache.into());
    }
    let home = env::var_os("HOME").context("neither REMOTELAB_TEST_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/remotelab-tests"))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root().join(target),
        None => root().join("target"),
    }
}

/// The `tests` folder of each crate: two levels down at most.
pub(crate) fn test_folders() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for outer in entries(&root())? {
        for folder in std::iter::once(outer.clone()).chain(entries(&outer)?) {
            let tests = folder.join("tests");
            if folder.join("Cargo.toml").is_file() && tests.is_dir() {
                found.push(tests);
            }
        }
    }
    Ok(found)
}

/// What a folder holds, in order; nothing when it is not there.
pub(crate) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        paths.sort();
        Ok(paths)
    };
    list().with_context(|| format!("list {}", folder.display()))
}
