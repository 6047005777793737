//! The door for mail servers of this machine: LMTP (RFC 2033) on Unix sockets that `bridge.json` names.
//! A socket that is added or taken out there is opened or closed without a restart.

mod conversation;
mod session;
mod text;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::office::{Office, blocking};
use crate::settings::Listen;

/// How often the settings are looked at.
const DISCOVERY: Duration = Duration::from_secs(1);

/// Conversations at a time, at all sockets; more wait in the kernel's queue.
const MAX_CONVERSATIONS: usize = 32;

/// The mode of a socket whose settings name none.
const MODE: u32 = 0o600;

/// Keeps the doors that the settings name until shutdown.
pub(crate) async fn keep(office: Arc<Office>, wake: Arc<Notify>, shutdown: CancellationToken) {
    let turns = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    // Each door closes when its guard is dropped.
    let mut open: BTreeMap<Listen, Option<DropGuard>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    while !shutdown.is_cancelled() {
        let reader = Arc::clone(&office);
        match blocking(move || Ok(reader.places.bridge()?.unwrap_or_default().listen)).await {
            Ok(wanted) => {
                open.retain(|listen, _| wanted.contains(listen));
                for listen in wanted {
                    // One that could not be opened is tried again; its trouble is told once.
                    let is_known = match open.get(&listen) {
                        Some(Some(_)) => continue,
                        Some(None) => true,
                        None => false,
                    };
                    let opened = bind(&listen).map(|listener| {
                        let door = Door { office: Arc::clone(&office), wake: Arc::clone(&wake) };
                        let closed = shutdown.child_token();
                        tasks.spawn(accept(door, listener, Arc::clone(&turns), closed.clone()));
                        closed.drop_guard()
                    });
                    let path = listen.socket.display();
                    match &opened {
                        Ok(_) => tracing::info!("mail servers may deliver at {path}"),
                        Err(error) if !is_known => {
                            tracing::error!("no door for mail servers at {path}: {error}");
                        }
                        Err(_) => {}
                    }
                    open.insert(listen, opened.ok());
                }
            }
            Err(error) => tracing::error!("doors for mail servers not looked at: {error}"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(DISCOVERY) => {}
        }
    }
    drop(open);
    while tasks.join_next().await.is_some() {}
}

/// What a conversation needs.
#[derive(Clone)]
struct Door {
    office: Arc<Office>,
    wake: Arc<Notify>,
}

async fn accept(door: Door, listener: UnixListener, turns: Arc<Semaphore>, closed: CancellationToken) {
    let mut conversations = JoinSet::new();
    loop {
        let next = async {
            let turn = Arc::clone(&turns).acquire_owned().await;
            (turn, listener.accept().await)
        };
        tokio::select! {
            () = closed.cancelled() => break,
            (turn, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let (door, closed) = (door.clone(), closed.clone());
                    conversations.spawn(async move {
                        let _turn = turn;
                        if let Err(error) = conversation::hold(&door, stream, closed).await {
                            tracing::debug!("a conversation with a mail server broke: {error}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("mail server not let in: {error}");
                    tokio::time::sleep(DISCOVERY).await;
                }
            },
        }
        while conversations.try_join_next().is_some() {}
    }
    // Others may open the same socket while the last conversations end.
    drop(listener);
    while conversations.join_next().await.is_some() {}
}

/// Opens a socket where there is none, or one that a dead process left.
fn bind(listen: &Listen) -> io::Result<UnixListener> {
    let path = &listen.socket;
    let mode = match &listen.mode {
        Some(text) => u32::from_str_radix(text, 8).map_err(|_| io::Error::other("the mode is not octal"))?,
        None => MODE,
    };
    if is_left_over(path)? {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode & 0o777))?;
    Ok(listener)
}

/// Tells whether a path holds a socket at which nobody listens.
fn is_left_over(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        },
        Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
