//! Units of systemd, as text.

use std::path::Path;

/// Says that a unit may be written anew.
pub(super) const MARK: &str = "# Written by `remotelab setup`.";

/// The unit that runs all of RemoteLab for one user.
#[must_use]
pub fn up(program: &Path) -> String {
    format!(
        "{MARK}\n\
         [Unit]\n\
         Description=RemoteLab\n\
         StartLimitIntervalSec=60\n\
         StartLimitBurst=10\n\n\
         [Service]\n\
         Type=exec\n\
         ExecStart={program} up\n\
         WorkingDirectory=%h\n\
         EnvironmentFile=-%h/.config/remotelab/up.env\n\
         UMask=0077\n\
         # The links hold the access token, so they stay out of the journal.\n\
         StandardOutput=truncate:%t/remotelab.links\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         # Runs in progress stay alive, and the next start finds them.\n\
         KillMode=process\n\
         TimeoutStopSec=10\n\
         LockPersonality=yes\n\
         RestrictRealtime=yes\n\n\
         [Install]\n\
         WantedBy=default.target\n",
        program = word(program)
    )
}

/// The unit that holds the tunnel.
#[must_use]
pub fn tunnel(cloudflared: &Path, settings: &Path) -> String {
    format!(
        "{MARK}\n\
         [Unit]\n\
         Description=Tunnel of RemoteLab\n\n\
         [Service]\n\
         Type=exec\n\
         ExecStart={program} --no-autoupdate --config {settings} tunnel run\n\
         UMask=0077\n\
         Restart=always\n\
         RestartSec=5\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         SystemCallArchitectures=native\n\n\
         [Install]\n\
         WantedBy=default.target\n",
        program = word(cloudflared),
        settings = word(settings),
    )
}

/// The template of one guest for a system's manager: nothing of the system can be written, and of the operator's
/// files only those below the guest's folder, which a drop-in names. It is for guests with a system user of their own.
#[must_use]
pub fn guest(program: &Path) -> String {
    format!(
        "{MARK}\n\
         [Unit]\n\
         Description=RemoteLab guest %i\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         StartLimitIntervalSec=60\n\
         StartLimitBurst=10\n\n\
         [Service]\n\
         Type=exec\n\
         DynamicUser=yes\n\
         StateDirectory=remotelab-guests/%i\n\
         ExecStart={program} chat\n\
         EnvironmentFile=/etc/remotelab/guest-instances/%i.env\n\
         UMask=0077\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         # Runs in progress stay alive, and the next start finds them.\n\
         KillMode=process\n\
         TimeoutStopSec=10\n\
         NoNewPrivileges=yes\n\
         CapabilityBoundingSet=\n\
         AmbientCapabilities=\n\
         ProtectSystem=strict\n\
         ProtectHome=yes\n\
         ProtectProc=invisible\n\
         ProcSubset=pid\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         ProtectClock=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         ProtectControlGroups=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         RestrictNamespaces=yes\n\
         LockPersonality=yes\n\
         RemoveIPC=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         SystemCallFilter=~@privileged @resources\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        program = word(program)
    )
}

/// One word of a command line.
fn word(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    if text.contains([' ', '\t', '\'', '"', ';']) { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    #[test]
    fn words_are_read_as_they_are_meant() {
        assert_eq!(word(Path::new("/a b/100%/x$y")), "\"/a b/100%%/x$$y\"");
        assert!(up(Path::new("/opt/remotelab")).contains("\nExecStart=/opt/remotelab up\n"));
    }

    /// systemd itself has nothing against them, where it is installed.
    #[test]
    fn systemd_takes_them() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let guest = folder.path().join("remotelab-guest@.service");
        for (name, text) in [
            ("remotelab.service", up(&program)),
            ("remotelab-tunnel.service", tunnel(&program, Path::new("/x/config.yml"))),
            ("remotelab-guest@.service", self::guest(&program)),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let mut verify = Command::new("systemd-analyze");
            if name != "remotelab-guest@.service" {
                verify.arg("--user");
            }
            let Ok(said) = verify.args(["--man=no", "verify"]).arg(&path).output() else { return };
            let words = String::from_utf8_lossy(&said.stderr).into_owned();
            let complaints: Vec<&str> = words.lines().filter(|line| line.contains("remotelab")).collect();
            assert_eq!(complaints, Vec::<&str>::new(), "{name}");
        }
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=30", "--no-pager"])
            .arg(&guest)
            .output();
        let Ok(said) = security else { return };
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        // Older ones cannot look at a file.
        if !words.contains("unrecognized option") {
            assert!(said.status.success(), "{}{words}", String::from_utf8_lossy(&said.stdout));
        }
    }
}
