//! `GET /ws`: push-only hints that something changed.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use remotelab_protocol::wire::Frame;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::answer::Refusal;
use crate::app::{Shared, blocking};
use crate::auth::caller::Caller;
use crate::{build, hub};

const FRAME_MAX: usize = 65_536;
/// How much is read at once, which each socket holds for as long as it is open: clients send nothing but pongs.
const READ_BYTES: usize = 512;
/// Keeps idle proxies from cutting the connection, and finds dead clients.
const PING: Duration = Duration::from_secs(25);
/// RFC 6455 §7.4.1: a message that violates the endpoint's policy.
const POLICY: u16 = 1008;

/// Opens the socket.
pub(super) async fn open(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return Refusal::bad_request("This address takes WebSocket connections only").into_response();
    };
    // Before the client knows that it is connected: what it reads then may change at once.
    let (frames, stay) = (app.hub.subscribe(), app.activity.enter());
    upgrade.max_message_size(FRAME_MAX).max_frame_size(FRAME_MAX).read_buffer_size(READ_BYTES).on_upgrade(
        move |socket| async move {
            let _stay = stay;
            serve(app, caller, socket, frames).await;
        },
    )
}

async fn serve(app: Shared, caller: Caller, mut socket: WebSocket, mut frames: Receiver<Arc<str>>) {
    let mut ended = app.auth.ended();
    // Whoever hears it reads everything once: from here on changes are told.
    let hello = hub::text(&Frame::BuildInfo { build_info: build::info(&app.settings.instance_id) });
    if socket.send(Message::text(hello.clone())).await.is_err() {
        return;
    }
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            frame = frames.recv() => match frame {
                Ok(frame) => socket.send(Message::text(text(&frame))).await,
                // Too many hints were missed to tell which: everything may have changed.
                Err(RecvError::Lagged(_)) => {
                    let list = hub::text(&Frame::SessionsInvalidated);
                    match socket.send(Message::text(list)).await {
                        Ok(()) => socket.send(Message::text(hello.clone())).await,
                        refused => refused,
                    }
                }
                Err(RecvError::Closed) => return,
            },
            // A login or token that ended takes its sockets along.
            Ok(()) = ended.changed() => match is_admitted(&app, &caller).await {
                true => Ok(()),
                false => return,
            },
            // It may also have expired, or been revoked by the command line.
            _ = ping.tick() => match is_admitted(&app, &caller).await {
                true => socket.send(Message::Ping(bytes::Bytes::new())).await,
                false => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    let close = CloseFrame { code: POLICY, reason: "Push-only WebSocket".into() };
                    let _ = socket.send(Message::Close(Some(close))).await;
                    return;
                }
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn is_admitted(app: &Shared, caller: &Caller) -> bool {
    let (app, caller) = (Arc::clone(app), caller.clone());
    blocking(move || app.admits(&caller)).await
}

fn text(frame: &Arc<str>) -> String {
    frame.to_string()
}
