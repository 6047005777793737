//! One request sent to an instance, and its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::pool::{Link, Pool, poll_answer};
use super::upload::{Progress, Upload};
use crate::headers;
use crate::settings::Timeouts;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request never left; it can be sent again as it is.
    Unsent(Box<Request<Upload>>),
    /// The connection ended without an answer.
    Broken(hyper::Error),
    /// The instance took too long.
    InstanceTimedOut,
    /// The client took too long to send the request.
    ClientTimedOut,
}

/// Sends a request and waits for the head of the answer.
pub(crate) async fn send(
    mut link: Link,
    pool: Arc<Pool>,
    request: Request<Upload>,
    timeouts: &Timeouts,
) -> Result<Response<Reply>, Failure> {
    let progress = request.body().progress();
    let answer = {
        let mut answer = pin!(link.sender.try_send_request(request));
        let mut patience = Patience::new(timeouts, progress);
        let mut sleep = pin!(sleep(patience.first()));
        poll_fn(|cx| match poll_answer(&mut link, answer.as_mut(), cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                Some(request) => Failure::Unsent(Box::new(request)),
                None => Failure::Broken(error.into_error()),
            })),
            Poll::Pending => patience.poll(sleep.as_mut(), cx).map(Err),
        })
        .await?
    };
    let (head, body) = answer.into_parts();
    let idle = if is_event_stream(&head.headers) { timeouts.event_stream_idle } else { timeouts.body_idle };
    let reply =
        Reply { body, link: Some(link), pool, ended: false, failure: None, silence: Silence::new(idle) };
    Ok(Response::from_parts(head, reply))
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// How long the head of an answer may take: counted anew with each piece of an upload.
struct Patience {
    progress: Option<Arc<Progress>>,
    mark: u32,
    client: Duration,
    instance: Duration,
}

impl Patience {
    fn new(timeouts: &Timeouts, progress: Option<Arc<Progress>>) -> Self {
        let mark = progress.as_ref().map_or(0, |progress| progress.mark());
        Self { progress, mark, client: timeouts.client_body_idle, instance: timeouts.response_header }
    }

    fn first(&self) -> Duration {
        if self.progress.is_some() { self.client } else { self.instance }
    }

    fn poll(&mut self, mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let Some(progress) = &self.progress else {
                return Poll::Ready(Failure::InstanceTimedOut);
            };
            let mark = progress.mark();
            let ended = Progress::is_end(mark);
            if mark == self.mark {
                let failure = if ended { Failure::InstanceTimedOut } else { Failure::ClientTimedOut };
                return Poll::Ready(failure);
            }
            self.mark = mark;
            let next = Instant::now() + if ended { self.instance } else { self.client };
            sleep.as_mut().reset(next);
        }
    }
}

/// The body of an answer. It drives the connection that it comes from, and gives it back at its end.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Incoming,
    link: Option<Link>,
    pool: Arc<Pool>,
    ended: bool,
    /// Told at the next look, after what came before it was written to the client.
    failure: Option<Error>,
    silence: Silence,
}

/// Why an answer ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the instance broke off its answer")]
    Instance(#[source] hyper::Error),
    #[error("the instance fell silent")]
    Silent,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let mut frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_pending()
            && let Some(link) = &mut this.link
        {
            link.drive(cx);
            frame = Pin::new(&mut this.body).poll_frame(cx);
        }
        match frame {
            Poll::Ready(Some(Err(error))) => {
                this.failure = Some(Error::Instance(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                let is_last = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_trailers);
                this.ended = frame.as_ref().is_none_or(is_last);
                this.silence.broken = true;
                Poll::Ready(frame.map(|frame| frame.map(headers::clean_trailers).map_err(Error::Instance)))
            }
            Poll::Pending => this.silence.poll(cx).map(|()| Some(Err(Error::Silent))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if (self.ended || self.body.is_end_stream())
            && let Some(link) = self.link.take()
        {
            self.pool.put(link);
        }
    }
}

/// Notices when nothing came for a while. Costs nothing for answers that are there at once.
#[derive(Debug)]
struct Silence {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    broken: bool,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, broken: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        while sleep.as_mut().poll(cx).is_ready() {
            if !std::mem::take(&mut self.broken) {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(Instant::now() + limit);
        }
        Poll::Pending
    }
}
