//! One conversation on its socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::Door;
use super::session::{MAX_LINE, Session, Step};
use super::text::Text;
use crate::address::Address;
use crate::ingest::{self, Envelope, MAX_MESSAGE, Reception, Refused, Writer};
use crate::office::blocking_or;

/// How long a mail server may be silent (RFC 5321 §4.5.3.2 asks it to wait for minutes, not us).
const SILENCE: Duration = Duration::from_secs(120);

/// How long one text may take.
const TEXT_TIMEOUT: Duration = Duration::from_secs(600);

/// What we are called in greetings.
const HOST: &str = "remotelab";

/// Bytes read at a time.
const PIECE: usize = 32 * 1024;

/// Talks until the mail server hangs up, or the door is closed between two mails.
pub(super) async fn hold(door: &Door, stream: UnixStream, closed: CancellationToken) -> io::Result<()> {
    let mut talk = Talk { stream, read: BytesMut::new() };
    let mut session = Session::new(HOST, MAX_MESSAGE);
    let mut receptions: Vec<Reception> = Vec::new();
    talk.say(&session.greeting()).await?;
    loop {
        let line = tokio::select! {
            line = talk.line() => line?,
            () = closed.cancelled() => return talk.say("421 4.3.2 closing, try again later").await,
        };
        let Some(line) = line else { return Ok(()) };
        match session.line(&line) {
            Step::Say(reply) => talk.say(&reply).await?,
            Step::End(reply) => return talk.say(&reply).await,
            Step::Ask { to, size } => {
                let opened = open(door, session.from(), to, size).await;
                let refusal = opened.as_ref().err().map(Refused::smtp);
                let reply = session.decided(refusal);
                receptions.extend(opened.ok());
                talk.say(&reply).await?;
            }
            Step::Text(reply) => {
                talk.say(&reply).await?;
                let replies = text(door, &mut talk, std::mem::take(&mut receptions)).await?;
                for reply in replies {
                    talk.say(&reply).await?;
                }
                session.delivered();
            }
        }
        // A mail that was called off leaves nothing behind.
        if session.is_idle() {
            receptions.clear();
        }
    }
}

async fn open(door: &Door, from: &str, to: Address, size: Option<u64>) -> Result<Reception, Refused> {
    let envelope =
        Envelope { from: Some(from.to_owned()), to, door: ingest::Door::Lmtp, source: "lmtp".to_owned() };
    let office = Arc::clone(&door.office);
    report(blocking_or(move || Reception::open(&office, envelope, size)).await)
}

/// Reads a text to its end and makes it durable for each recipient; returns a reply for each, in order.
async fn text(door: &Door, talk: &mut Talk, receptions: Vec<Reception>) -> io::Result<Vec<String>> {
    let count = receptions.len();
    let writer = Writer::start(receptions);
    let reading = async {
        let mut text = Text::default();
        let mut is_wanted = true;
        while !text.is_done() {
            if talk.read.is_empty() && !talk.fill().await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let mut piece = Vec::with_capacity(talk.read.len());
            let taken = text.take(&talk.read, &mut piece);
            talk.read.advance(taken);
            // What nobody wants is read all the same: the replies come after the dot.
            is_wanted = is_wanted && writer.piece(Bytes::from(piece)).await;
        }
        Ok(())
    };
    tokio::time::timeout(TEXT_TIMEOUT, reading)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let Ok(written) = writer.finish().await else {
        return Ok(vec!["451 4.3.0 trouble here, try again later".to_owned(); count]);
    };
    let mut replies = Vec::new();
    for reception in written {
        let taken = match reception {
            Ok(reception) => blocking_or(move || reception.commit()).await,
            Err(refused) => Err(refused),
        };
        replies.push(match report(taken) {
            Ok(taken) => format!("250 2.0.0 {}", taken.id),
            Err(refused) => refused.smtp().to_owned(),
        });
    }
    door.wake.notify_one();
    Ok(replies)
}

fn report<T>(outcome: Result<T, Refused>) -> Result<T, Refused> {
    if let Err(Refused::Trouble(error)) = &outcome {
        tracing::error!("mail not taken in: {error:?}");
    }
    outcome
}

/// The socket with what was read from it and not yet used.
struct Talk {
    stream: UnixStream,
    read: BytesMut,
}

impl Talk {
    /// Returns the next line without its end; `None`: the mail server hung up.
    async fn line(&mut self) -> io::Result<Option<Bytes>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.read[seen..].iter().position(|&byte| byte == b'\n') {
                let mut line = self.read.split_to(seen + at + 1);
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(line.freeze()));
            }
            seen = self.read.len();
            if seen > 2 * MAX_LINE {
                self.say("500 5.5.2 the line is too long").await?;
                return Ok(None);
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads more. `false`: there is no more.
    async fn fill(&mut self) -> io::Result<bool> {
        self.read.reserve(PIECE);
        let read = tokio::time::timeout(SILENCE, self.stream.read_buf(&mut self.read)).await;
        Ok(read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? > 0)
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        let line = format!("{reply}\r\n");
        let write = self.stream.write_all(line.as_bytes());
        tokio::time::timeout(SILENCE, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
