//! Connections to one instance, kept for the next request.
//!
//! A connection has no task of its own: whoever uses it drives it. That saves two wake-ups per request, and
//! dropping it is all that it takes to hang up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, Connection, SendRequest};

use super::origin::Origin;
use super::stream::Stream;
use super::upload::Upload;

/// Idle connections of one instance, the one used last on top.
#[derive(Debug)]
pub(crate) struct Pool {
    origin: Origin,
    limit: usize,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// One connection with its two ends.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) sender: SendRequest<Upload>,
    /// Gone once it is over: dropping it fails whoever still waits for an answer.
    connection: Option<Box<Connection<Stream, Upload>>>,
    /// It served a request before, so the instance may have closed it meanwhile.
    pub(crate) reused: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot connect to the instance")]
    Connect(#[source] io::Error),
    #[error("the instance does not accept connections in time")]
    TimedOut,
    #[error("cannot speak HTTP with the instance")]
    Handshake(#[source] hyper::Error),
}

impl Pool {
    pub(crate) fn new(origin: Origin, limit: usize) -> Self {
        Self { origin, limit, idle: Mutex::default() }
    }

    /// Where the instance is.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Takes a connection that is still good.
    pub(crate) fn take(&self) -> Option<Link> {
        loop {
            let mut link = self.lock().pop()?.link;
            link.poll_idle();
            if link.is_free() {
                link.reused = true;
                return Some(link);
            }
        }
    }

    /// Opens a new connection.
    pub(crate) async fn connect(&self, patience: Duration) -> Result<Link, Error> {
        let socket = self.origin.connect(patience).await?;
        let (sender, connection) = http1::handshake(Stream::new(socket)).await.map_err(Error::Handshake)?;
        Ok(Link { sender, connection: Some(Box::new(connection)), reused: false })
    }

    /// Keeps a connection, if it can serve another request.
    pub(crate) fn put(&self, mut link: Link) {
        link.poll_idle();
        if !link.is_free() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < self.limit {
            idle.push(Idle { link, since: Instant::now() });
        }
    }

    /// How many are kept.
    pub(crate) fn idle(&self) -> usize {
        self.lock().len()
    }

    /// Closes connections that nobody used for a while.
    pub(crate) fn prune(&self, unused_for: Duration) {
        let old: Vec<Idle> = {
            let mut idle = self.lock();
            let young = idle.iter().position(|idle| idle.since.elapsed() < unused_for);
            let count = young.unwrap_or(idle.len());
            idle.drain(..count).collect()
        };
        drop(old);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics under the lock; if it did, the list is whole all the same.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Moves bytes, if there is still somewhere to move them.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    fn is_free(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Lets the connection notice that a message is complete or that the instance hung up. Nobody waits
    /// for it until the next request comes.
    fn poll_idle(&mut self) {
        self.drive(&mut Context::from_waker(Waker::noop()));
    }
}

/// Waits for `answer` while driving the connection that brings it.
pub(crate) fn poll_answer<T>(
    link: &mut Link,
    mut answer: Pin<&mut impl Future<Output = T>>,
    cx: &mut Context<'_>,
) -> Poll<T> {
    if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
        return Poll::Ready(answer);
    }
    link.drive(cx);
    answer.poll(cx)
}
