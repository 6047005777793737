//! Test files that no binary includes never run, and nothing says so; this does.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::workspace::{entries, test_folders};

/// Every file beside a `tests/<name>/main.rs`, or in the folder of a `tests/<name>.rs`, is a module of it.
pub(crate) fn every_test_is_built() -> anyhow::Result<()> {
    let mut forgotten = Vec::new();
    for tests in test_folders()? {
        for entry in entries(&tests)?.into_iter().filter(|entry| entry.is_dir()) {
            let mains = [entry.join("main.rs"), entry.with_extension("rs")];
            if let Some(main) = mains.iter().find(|main| main.is_file()) {
                left_out(main, &entry, &mut forgotten)?;
            }
        }
    }
    if forgotten.is_empty() {
        return Ok(());
    }
    bail!("no test binary includes {}", forgotten.join(", "))
}

/// Adds the files of `folder`, and of the folders in it, for which `parent` has no `mod` line.
fn left_out(parent: &Path, folder: &Path, forgotten: &mut Vec<String>) -> anyhow::Result<()> {
    let source = fs::read_to_string(parent).with_context(|| format!("read {}", parent.display()))?;
    for path in entries(folder)? {
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if path.extension().is_none_or(|extension| extension != "rs") || path == parent {
            continue;
        }
        if !declares(&source, name) {
            forgotten.push(path.display().to_string());
        }
        left_out(&path, &folder.join(name), forgotten)?;
    }
    Ok(())
}

fn declares(source: &str, name: &str) -> bool {
    let wanted = format!("mod {name};");
    source.lines().any(|line| line.trim().trim_start_matches("pub ") == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mod_line_declares() {
        assert!(declares("mod mail;\n", "mail"));
        assert!(declares("#[cfg(unix)]\n    pub mod mail;\n", "mail"));
        assert!(!declares("// mod mail;\nuse mail;\nmod mailbox;\n", "mail"));
    }
}
