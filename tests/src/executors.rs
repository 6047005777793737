//! The real `codex` and `claude`, joined to the stand-in model.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The executors that `cargo xtask setup` installed from npm.
#[derive(Debug, Clone)]
pub struct RealExecutors {
    codex: PathBuf,
    claude: PathBuf,
}

/// Whether the executors have a key for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// They have one.
    In,
    /// They have none and say so when asked to work.
    Out,
}

impl RealExecutors {
    /// Finds them, or says which command installs them.
    pub fn locate() -> anyhow::Result<Self> {
        let bin = cache()?.join("npm/node_modules/.bin");
        let find = |name: &str| -> anyhow::Result<PathBuf> {
            let path = bin.join(name);
            if !path.is_file() {
                bail!("{} is missing; install it with: cargo xtask setup", path.display());
            }
            Ok(path)
        };
        Ok(Self { codex: find("codex")?, claude: find("claude")? })
    }

    /// Writes `codex` and `claude` into the folder `bin`: scripts that run the real programs
    /// against the model at `base_url`, quietly and with one retry in place of many.
    pub fn link(&self, bin: &Path, base_url: &str, login: Login) -> anyhow::Result<()> {
        let provider = format!(
            r#"model_providers.standin={{name="standin",base_url="{base_url}/v1",wire_api="responses",env_key="STANDIN_KEY",request_max_retries=1,stream_max_retries=1}}"#
        );
        let (codex_key, claude_key) = match login {
            Login::In => ("export STANDIN_KEY=standin", "export ANTHROPIC_API_KEY=standin"),
            Login::Out => ("unset STANDIN_KEY", "unset ANTHROPIC_API_KEY"),
        };
        let codex = format!(
            "#!/bin/sh\n{codex_key}\nexec '{}' -c model_provider=standin -c '{provider}' \"$@\"\n",
            self.codex.display()
        );
        // `IS_SANDBOX` because claude refuses to skip permissions as root, which tests may be.
        let claude = format!(
            "#!/bin/sh\n{claude_key}\n\
             export ANTHROPIC_BASE_URL='{base_url}' IS_SANDBOX=1 CLAUDE_CODE_MAX_RETRIES=1\n\
             export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1\n\
             exec '{}' \"$@\"\n",
            self.claude.display()
        );
        fs::create_dir_all(bin).with_context(|| format!("create {}", bin.display()))?;
        write_script(&bin.join("codex"), &codex)?;
        write_script(&bin.join("claude"), &claude)
    }
}

/// Writes an executable file: a real executor's wrapper, or a made-up tool of a test.
pub fn write_script(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", path.display()))
}

/// The folder that `cargo xtask setup` fills.
pub fn cache() -> anyhow::Result<PathBuf> {
    if let Some(cache) = env::var_os("REMOTELAB_TEST_CACHE") {
        return Ok(cache.into());
    }
    let home = env::var_os("HOME").context("neither REMOTELAB_TEST_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/remotelab-tests"))
}
