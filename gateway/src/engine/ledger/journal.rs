//! The system's journal, in its native form.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends lines and waits for nobody.
#[derive(Debug)]
pub(super) struct Journal {
    to: PathBuf,
    socket: Option<UnixDatagram>,
    message: String,
}

impl Journal {
    pub(super) fn system() -> Self {
        Self::at(Path::new(SOCKET))
    }

    pub(super) fn at(to: &Path) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Self { to: to.to_owned(), socket: socket.ok(), message: String::new() }
    }

    /// A journal that is away or full misses lines; the file has them.
    pub(super) fn send(&mut self, line: &str) {
        let Some(socket) = &self.socket else { return };
        self.message.clear();
        for part in ["SYSLOG_IDENTIFIER=remotelab-gateway\nPRIORITY=6\nMESSAGE=", line, "\n"] {
            self.message.push_str(part);
        }
        let _ = socket.send_to(self.message.as_bytes(), &self.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let system = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::at(&path);
        journal.send("{}");
        let mut buffer = [0; 100];
        let len = system.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"SYSLOG_IDENTIFIER=remotelab-gateway\nPRIORITY=6\nMESSAGE={}\n");
        drop(system);
        journal.send("{}");
    }
}
