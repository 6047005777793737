//! Telling open pages and streams that something changed. What is sent carries no state: whoever gets it
//! reads again.

use std::sync::Arc;

use remotelab_protocol::SessionId;
use remotelab_protocol::wire::Frame;
use remotelab_store::SessionCell;
use tokio::sync::broadcast;

/// How many frames a slow page may fall behind before it is told to read everything again.
const BACKLOG: usize = 256;

/// Sends frames to all open pages, and the same as values to all open streams.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    frames: broadcast::Sender<Arc<str>>,
    changes: broadcast::Sender<Change>,
}

/// A session changed, hidden ones too, or what is being written in it.
#[derive(Clone, Debug)]
pub(crate) struct Change(pub(crate) SessionId);

impl Hub {
    pub(crate) fn new() -> Self {
        Self { frames: broadcast::Sender::new(BACKLOG), changes: broadcast::Sender::new(BACKLOG) }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.frames.subscribe()
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// A session's state, activity or history changed. No page is told of hidden ones.
    pub(crate) fn session_changed(&self, cell: &SessionCell) {
        self.tell(cell, Frame::SessionInvalidated { session_id: cell.id().clone() });
    }

    /// More of a session's answer has been written.
    pub(crate) fn session_writing(&self, cell: &SessionCell) {
        self.tell(cell, Frame::SessionWriting { session_id: cell.id().clone() });
    }

    /// The list's members or order may have changed.
    pub(crate) fn list_changed(&self) {
        self.send(&Frame::SessionsInvalidated);
    }

    fn tell(&self, cell: &SessionCell, frame: Frame) {
        let _ = self.changes.send(Change(cell.id().clone()));
        if !cell.with(|state| state.session.is_hidden()) {
            self.send(&frame);
        }
    }

    fn send(&self, frame: &Frame) {
        // Without a listener there is nobody to tell.
        let _ = self.frames.send(text(frame).into());
    }
}

/// Writes a frame as it goes over the socket.
pub(crate) fn text(frame: &Frame) -> String {
    serde_json::to_string(frame).expect("frames have string keys")
}
