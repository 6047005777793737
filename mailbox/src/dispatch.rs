//! Letters leave: leased, tried, and their outcome written down.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff;
use crate::clock::millis;
use crate::letter::Letter;
use crate::office::{Error, Office, blocking};
use crate::outbound::{self, Dispatch, Tried};
use crate::settings::Outbound;
use crate::state::{Attempt, Failure, Outgoing};
use crate::store::{Row, Store};

/// The pause before looking again whether sending has been set up.
const SETUP_PAUSE: i64 = 60 * 1000;

/// Tries the next due letter. `false`: there was none.
pub(crate) async fn send_next(
    office: &Arc<Office>,
    store: &Arc<Store>,
    outbound: &Outbound,
) -> Result<bool, Error> {
    let (leaser, by, now) = (Arc::clone(store), office.holder.clone(), office.clock.now());
    let Some(row) = blocking(move || Ok(leaser.lease_letter(&by, now)?)).await? else { return Ok(false) };
    send(office, store, outbound, row).await?;
    Ok(true)
}

/// Tries a letter that is leased.
pub(crate) async fn send(
    office: &Arc<Office>,
    store: &Arc<Store>,
    outbound: &Outbound,
    row: Row,
) -> Result<(), Error> {
    let (row, files) = match ready(store, row).await? {
        Ready::Yes(row, files) => (row, files),
        Ready::Never(row, why) => {
            let attempt = Attempt::Permanent(Failure { code: 0, text: why });
            return finish(office, store, row, Tried { attempt, provider: String::new() }).await;
        }
    };
    let env = |name: &str| office.env.get(name).map(str::to_owned);
    let before_text = || -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let (store, id) = (Arc::clone(store), row.id.clone());
        Box::pin(async move { blocking(move || Ok(store.text_goes_out(&id)?)).await.is_ok() })
    };
    let dispatch = Dispatch {
        id: &row.id,
        letter: &row.letter,
        files: &files,
        unix_seconds: u64::try_from(row.created_at / 1000).unwrap_or_default(),
        before_text: &before_text,
    };
    let tried = outbound::send(outbound, &env, &dispatch).await;
    finish(office, store, row, tried).await
}

/// Whether a letter can go.
enum Ready {
    /// With the contents of its files.
    Yes(Row, Vec<Vec<u8>>),
    Never(Row, String),
}

/// Reads a letter's files, and leaves out the recipients from whom mail came back; a letter that a person
/// wrote goes to them all the same.
async fn ready(store: &Arc<Store>, mut row: Row) -> Result<Ready, Error> {
    let store = Arc::clone(store);
    blocking(move || {
        if row.kind != "manual" {
            let mut left = Vec::new();
            for to in row.letter.recipients() {
                if !store.is_suppressed(to.key())? {
                    left.push(to.clone());
                }
            }
            if left.is_empty() {
                return Ok(Ready::Never(row, "mail to this address came back before".to_owned()));
            }
            if left.len() < row.letter.recipients().len() {
                row.letter.left = left;
            }
        }
        let files = row.letter.files.iter().map(|file| store.raw(&file.sha256)).collect::<Result<_, _>>();
        Ok(match files {
            Ok(files) => Ready::Yes(row, files),
            Err(error) => Ready::Never(row, format!("a file of the letter is gone: {error}")),
        })
    })
    .await
}

async fn finish(office: &Office, store: &Arc<Store>, row: Row, tried: Tried) -> Result<(), Error> {
    let Tried { attempt, provider } = tried;
    let now = office.clock.now();
    let dice = rand::random();
    let store = Arc::clone(store);
    blocking(move || {
        let id = &row.id;
        let (state, due_at, outcome) = match &attempt {
            Attempt::Unconfigured(why) => {
                tracing::warn!(letter.id = %id, "mail {id} waits: sending is not set up: {why}");
                return Ok(store.return_letter(id, now + SETUP_PAUSE, why, now)?);
            }
            Attempt::Accepted(response) => (Outgoing::Sent, now, Ok(response.as_str())),
            Attempt::Partly(response, left) => {
                let due = now + backoff::SENDING.wait(1, dice).map_or(SETUP_PAUSE, millis);
                let letter = Letter { left: left.clone(), ..row.letter.clone() };
                return Ok(store.finish_partly(id, response, &letter, due, now)?);
            }
            Attempt::Permanent(failure) | Attempt::Reroute(failure) => (Outgoing::Dead, now, Err(failure)),
            // SMTP has no idempotency key: a person decides.
            Attempt::Unknown(failure) => (Outgoing::Unconfirmed, now, Err(failure)),
            Attempt::Transient(failure) | Attempt::Later(failure, _) => {
                let asked = match &attempt {
                    Attempt::Later(_, wait) => *wait,
                    _ => Duration::ZERO,
                };
                match backoff::SENDING.wait(row.attempts, dice) {
                    Some(wait) => (Outgoing::Pending, now + millis(wait.max(asked)), Err(failure)),
                    None => (Outgoing::Dead, now, Err(failure)),
                }
            }
        };
        match outcome {
            Err(failure) if state == Outgoing::Pending => {
                tracing::warn!(letter.id = %id, "mail {id} not sent yet: {}", failure.text);
            }
            Err(failure) => {
                tracing::error!(letter.id = %id, "mail {id} not sent: {}", failure.text);
            }
            Ok(_) => {}
        }
        Ok(store.finish_attempt(id, state, &provider, due_at, outcome, now)?)
    })
    .await
}
