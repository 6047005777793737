//! Telling open pages that something changed. Frames carry no state: whoever gets one reads again.

use std::sync::Arc;

use remotelab_protocol::wire::Frame;
use remotelab_store::SessionCell;
use tokio::sync::broadcast;

/// How many frames a slow page may fall behind before it is told to read everything again.
const BACKLOG: usize = 256;

/// Sends frames to all open pages.
#[derive(Clone, Debug)]
pub(crate) struct Hub(broadcast::Sender<Arc<str>>);

impl Hub {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }

    /// A session's state, activity or history changed. Nobody is told of hidden ones.
    pub(crate) fn session_changed(&self, cell: &SessionCell) {
        if !cell.with(|state| state.session.is_hidden()) {
            self.send(&Frame::SessionInvalidated { session_id: cell.id().clone() });
        }
    }

    /// The list's members or order may have changed.
    pub(crate) fn list_changed(&self) {
        self.send(&Frame::SessionsInvalidated);
    }

    fn send(&self, frame: &Frame) {
        // Without a listener there is nobody to tell.
        let _ = self.0.send(text(frame).into());
    }
}

/// Writes a frame as it goes over the socket.
pub(crate) fn text(frame: &Frame) -> String {
    serde_json::to_string(frame).expect("frames have string keys")
}
