//! `cloudflared`, which holds the tunnel. It reads its settings when it starts.

use std::io;
use std::path::Path;

use remotelab_config::Env;
use rustix::process::getuid;

use crate::outside::Tool;

/// Units that run it, ours first.
const UNITS: [&str; 2] = ["remotelab-tunnel.service", "cloudflared.service"];

/// What launchd calls it.
const LABEL: &str = "com.cloudflared.tunnel";

/// Starts it anew as whatever service it is here.
///
/// # Errors
/// When there is none, or it does not start.
pub fn restart(home: &Path, env: &Env) -> io::Result<()> {
    if home.join("Library/LaunchAgents").join(format!("{LABEL}.plist")).exists()
        && let Some(launchctl) = Tool::find("launchctl", env)
    {
        let target = format!("gui/{}/{LABEL}", getuid().as_raw());
        return launchctl.done(&["kickstart", "-k", &target]).map(drop);
    }
    if let Some(systemctl) = Tool::find("systemctl", env) {
        for unit in UNITS {
            if systemctl.run(&["--user", "is-active", "--quiet", unit])?.is_well {
                return systemctl.done(&["--user", "restart", unit]).map(drop);
            }
            if systemctl.run(&["is-active", "--quiet", unit])?.is_well {
                return systemctl.done(&["--no-ask-password", "restart", unit]).map(drop);
            }
        }
    }
    Err(io::Error::other("no service here runs cloudflared"))
}
