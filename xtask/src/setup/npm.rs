//! Programs from npm: the real executors, the type checker of the web UI and the runtime of the Email Worker.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::command::{program, run};
use crate::workspace;

const PROGRAMS: &[(&str, &str)] = &[
    ("@openai/codex", "0.169.0"),
    ("@anthropic-ai/claude-code", "2.1.197"),
    ("opencode-ai", "1.18.33"),
    ("@google/gemini-cli", "0.61.0"),
    ("@github/copilot", "1.0.102"),
    ("cline", "3.0.65"),
    ("typescript", "5.9.3"),
    // The runtime of Cloudflare's Workers; the last that runs on the Node of Debian.
    ("miniflare", "4.20250906.0"),
];

/// Installs those that are missing or of another version.
pub(crate) fn install() -> anyhow::Result<()> {
    let home = home()?;
    if PROGRAMS.iter().all(|(name, version)| installed(&home, name, version)) {
        return Ok(());
    }
    fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let mut npm = program("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&home);
    for (name, version) in PROGRAMS {
        npm.arg(format!("{name}@{version}"));
    }
    run(&mut npm)
}

/// The path of an installed program.
pub(crate) fn bin(name: &str) -> anyhow::Result<PathBuf> {
    Ok(home()?.join("node_modules/.bin").join(name))
}

fn home() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join("npm"))
}

fn installed(home: &Path, name: &str, version: &str) -> bool {
    let manifest = home.join("node_modules").join(name).join("package.json");
    fs::read_to_string(manifest).is_ok_and(|text| text.contains(&format!("\"version\": \"{version}\"")))
}
