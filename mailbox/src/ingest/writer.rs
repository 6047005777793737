//! Mail from the network to the disk: the pieces go to a thread that writes them, and memory stays at
//! a few pieces.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Reception, Refused};
use crate::office::Error;

/// Pieces on their way to the disk.
const PIECES: usize = 8;

/// Writes one message for each of its recipients.
pub(crate) struct Writer {
    sender: mpsc::Sender<Bytes>,
    task: JoinHandle<Written>,
}

/// The receptions with what became of each.
type Written = Vec<Result<Reception, Refused>>;

impl Writer {
    pub(crate) fn start(receptions: Vec<Reception>) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        Self { sender, task: tokio::task::spawn_blocking(move || write(receptions, receiver)) }
    }

    /// Hands on the next piece. `false`: nobody wants more of it.
    pub(crate) async fn piece(&self, piece: Bytes) -> bool {
        self.sender.send(piece).await.is_ok()
    }

    /// Waits until all pieces are written.
    pub(crate) async fn finish(self) -> Result<Written, Refused> {
        drop(self.sender);
        self.task.await.map_err(|_| Refused::Trouble(Error::CutOff))
    }
}

fn write(receptions: Vec<Reception>, mut receiver: mpsc::Receiver<Bytes>) -> Written {
    let mut written: Written = receptions.into_iter().map(Ok).collect();
    while written.iter().any(Result::is_ok)
        && let Some(piece) = receiver.blocking_recv()
    {
        for place in &mut written {
            if let Ok(reception) = place
                && let Err(refused) = reception.write(&piece)
            {
                *place = Err(refused);
            }
        }
    }
    written
}
