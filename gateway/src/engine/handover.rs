//! Handing the listening sockets over to a new gateway, so that a new program takes the place of the old one and
//! nobody is refused meanwhile.
//!
//! The old one sends the sockets. The new one accepts on them at once, takes the control socket's name, and says that
//! it is ready; only then the old one stops accepting and finishes what it has. If the new one dies before, nothing
//! has happened.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::net::UnixListener;

use super::Core;

/// More listeners than anybody has.
const MOST: usize = 32;
/// The longest list of addresses, in bytes.
const LIST: usize = 8 * 1024;
/// How long a new gateway may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it says then.
const READY: &[u8] = b"ready\n";

/// A listening socket, and what it is bound to by the settings.
pub(crate) type Held = (SocketAddr, OwnedFd);

/// What a gateway gets from the one before it.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
    old: Option<UnixStream>,
}

impl Inherited {
    /// Asks the gateway that runs for its sockets; nothing, when none runs. Blocks.
    ///
    /// # Errors
    /// When it runs and does not give them.
    pub fn ask(settings: &crate::Settings) -> io::Result<Self> {
        match UnixStream::connect(place(&settings.socket)) {
            Ok(stream) => receive(stream),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(Self::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes sockets that somebody else has bound, each for the address that it has.
    #[must_use]
    pub fn bound(sockets: Vec<TcpListener>) -> Self {
        let own = |socket: TcpListener| Some((socket.local_addr().ok()?, socket));
        Self { sockets: sockets.into_iter().filter_map(own).collect(), old: None }
    }

    /// Adds others, for addresses that there is none for yet.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.sockets.extend(other.sockets);
        self.old = self.old.or(other.old);
        self
    }

    /// Whether there is a gateway to take the place of.
    pub(crate) fn replaces(&self) -> bool {
        self.old.is_some()
    }

    /// The socket for an address.
    pub(crate) fn take(&mut self, bind: SocketAddr) -> Option<io::Result<tokio::net::TcpListener>> {
        let at = self.sockets.iter().position(|(address, _)| *address == bind)?;
        let (_, socket) = self.sockets.swap_remove(at);
        Some(socket.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(socket)))
    }

    /// Addresses that nothing is set to listen on; their sockets are closed.
    pub(crate) fn left(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }

    /// Tells the old gateway that it may go.
    pub(crate) fn ready(self) {
        if let Some(mut old) = self.old
            && let Err(error) = old.write_all(READY)
        {
            tracing::warn!(%error, "the gateway before this one is gone");
        }
    }
}

/// Where sockets are handed over, beside the control socket.
fn place(control: &Path) -> PathBuf {
    control.with_file_name("gateway-handover.sock")
}

/// Binds a socket of ours under another name first: who has the name now keeps it until [`settle`].
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let fresh = fresh(path);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Gives a socket its name, whoever had it.
pub(crate) fn settle(path: &Path) -> io::Result<()> {
    fs::rename(fresh(path), path)
}

fn fresh(path: &Path) -> PathBuf {
    path.with_extension("sock.new")
}

/// Binds where sockets are handed over.
pub(crate) fn open(control: &Path) -> io::Result<UnixListener> {
    let path = place(control);
    let listener = bind(&path)?;
    settle(&path)?;
    Ok(listener)
}

/// Gives the sockets to whoever asks for them and says that it is ready then. They are let go of when the gateway
/// drains.
pub(crate) async fn serve(core: Arc<Core>, listener: UnixListener, held: Vec<Held>) {
    let held = Arc::new(held);
    loop {
        let accepted = tokio::select! {
            () = core.draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok(stream) = accepted.and_then(|(stream, _)| stream.into_std()) else { continue };
        let sockets = Arc::clone(&held);
        let given = tokio::task::spawn_blocking(move || give(&stream, &sockets));
        let given = tokio::select! {
            () = core.draining.cancelled() => break,
            given = given => given,
        };
        match given {
            Ok(Ok(())) => {
                tracing::info!("a new gateway has taken over");
                core.handed_over.store(true, Ordering::SeqCst);
                core.draining.cancel();
                break;
            }
            Ok(Err(error)) => tracing::warn!(%error, "a new gateway did not take over"),
            Err(error) => tracing::error!(%error, "sockets are not handed over"),
        }
    }
    if !core.handed_over.load(Ordering::SeqCst) {
        let _ = fs::remove_file(place(&core.settings.socket));
    }
}

/// Sends the sockets with their addresses and waits for the word. Blocks.
fn give(stream: &UnixStream, held: &[Held]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let held = &held[..held.len().min(MOST)];
    let addresses: Vec<String> = held.iter().map(|(address, _)| address.to_string()).collect();
    let list = format!("{}\n", addresses.join(" "));
    let sockets: Vec<BorrowedFd<'_>> = held.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("there are too many sockets"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(list.as_bytes())], &mut control, SendFlags::empty())?;
    if sent < list.len() {
        return Err(io::Error::other("the list of sockets is too long"));
    }
    let mut word = [0; READY.len()];
    let mut stream = stream;
    stream.read_exact(&mut word)?;
    if word == READY { Ok(()) } else { Err(io::Error::other("it said something else")) }
}

/// Receives sockets with their addresses. Blocks.
fn receive(stream: UnixStream) -> io::Result<Inherited> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut list = vec![0; LIST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(&stream, &mut [IoSliceMut::new(&mut list)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received.map(TcpListener::from));
        }
    }
    let list = String::from_utf8_lossy(&list[..received.bytes]);
    let addresses: Vec<SocketAddr> = list.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    if addresses.len() != sockets.len() {
        return Err(io::Error::other("addresses and sockets do not belong together"));
    }
    Ok(Inherited { sockets: addresses.into_iter().zip(sockets).collect(), old: Some(stream) })
}
