//! Test files that no binary includes never run, and nothing says so; this does.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::workspace::{entries, test_folders};

/// Every file beside a `tests/<name>/main.rs`, in each crate, is a module of it.
pub(crate) fn every_test_is_built() -> anyhow::Result<()> {
    let mut forgotten = Vec::new();
    for tests in test_folders()? {
        for entry in entries(&tests)? {
            let main = entry.join("main.rs");
            if main.is_file() {
                forgotten.extend(left_out(&main, &entry)?);
            }
        }
    }
    if forgotten.is_empty() {
        return Ok(());
    }
    bail!("no test binary includes {}", forgotten.join(", "))
}

/// Files and folders of `folder` for which `main` has no `mod` line.
fn left_out(main: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let source = fs::read_to_string(main).with_context(|| format!("read {}", main.display()))?;
    let names = entries(folder)?
        .into_iter()
        .filter(|path| path.is_dir() || path.extension().is_some_and(|ext| ext == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "main" && !declares(&source, name));
    Ok(names
        .map(|name| folder.join(name).display().to_string())
        .collect())
}

fn declares(source: &str, name: &str) -> bool {
    let wanted = format!("mod {name};");
    source
        .lines()
        .any(|line| line.trim().trim_start_matches("pub ") == wanted)
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
