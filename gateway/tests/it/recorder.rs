//! An instance of bare sockets that keeps every byte it got.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each head at once, without a look at its body, and keeps its connections.
pub(crate) struct Recorder {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let recorder = Self { port, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let (mut all, mut answered) = (Vec::new(), 0);
                    let mut piece = [0; 4096];
                    while let Ok(len @ 1..) = stream.read(&mut piece).await {
                        seen.lock().unwrap().extend_from_slice(&piece[..len]);
                        all.extend_from_slice(&piece[..len]);
                        let heads = all.windows(4).filter(|end| end == b"\r\n\r\n").count();
                        for _ in answered..heads {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                            let _ = stream.write_all(answer).await;
                        }
                        answered = heads;
                    }
                });
            }
        });
        recorder
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every byte so far; forgets them.
    pub(crate) fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.seen.lock().unwrap())).into_owned()
    }
}
