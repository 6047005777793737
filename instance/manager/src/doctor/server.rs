//! Whether the chat server runs and answers.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use remotelab_config::lock::FileLock;

use super::{Finding, Patient, Status, quoted};

const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn running(patient: &Patient) -> Vec<Finding> {
    let lock = patient.paths.server_lock();
    let finding = match FileLock::is_held(&lock) {
        Err(error) => {
            Finding::new("server", Status::Fail, format!("cannot read {}: {error}", lock.display()))
        }
        Ok(false) if patient.asleep => {
            let message = format!("{} sleeps: its chat server starts when somebody comes", patient.name);
            Finding::new("server", Status::Ok, message)
        }
        Ok(false) => {
            Finding::new("server", Status::Fail, format!("the chat server of {} does not run", patient.name))
                .with_fix("remotelab up")
        }
        Ok(true) => answers(patient),
    };
    vec![finding]
}

fn answers(patient: &Patient) -> Finding {
    let Some(port) = patient.port else {
        return Finding::new("server", Status::Ok, "the chat server runs; its port is not known here");
    };
    let ip = patient.bind_host.parse().ok().filter(|ip: &std::net::IpAddr| !ip.is_unspecified());
    let address = SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), port);
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Finding::new("server", Status::Ok, format!("the chat server runs on {address}")),
        Err(error) => {
            let message = format!("the chat server runs but does not answer on {address}: {error}");
            Finding::new("server", Status::Fail, message)
        }
    }
}

/// Locks end with their holders; sockets are left behind by who is killed.
pub(super) fn sockets(patient: &Patient) -> Vec<Finding> {
    let folder = patient.paths.config().join("run");
    let names = ["supervisor.sock", "gateway.sock"];
    let dead = names
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| path.exists() && UnixStream::connect(path).is_err());
    dead.map(|path| {
        let message = format!("{} is left of a process that was killed", path.display());
        Finding::new("locks", Status::Warn, message).with_fix(format!("rm {}", quoted(&path)))
    })
    .collect()
}
