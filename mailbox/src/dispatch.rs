//! Letters leave: leased, tried, and their outcome written down.

use std::sync::Arc;

use crate::backoff;
use crate::clock::millis;
use crate::letter::Letter;
use crate::office::{Error, Office, blocking};
use crate::outbound::{self, Dispatch};
use crate::settings::Outbound;
use crate::state::{Attempt, Outgoing};
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
    let env = |name: &str| office.env.get(name).map(str::to_owned);
    let marker = (Arc::clone(store), row.id.clone());
    let dispatch = Dispatch {
        letter: &row.letter,
        unix_seconds: u64::try_from(row.created_at / 1000).unwrap_or_default(),
        before_text: Box::pin(async move {
            let (store, id) = marker;
            blocking(move || Ok(store.text_goes_out(&id)?)).await.is_ok()
        }),
    };
    let attempt = outbound::send(outbound, &env, dispatch).await;
    finish(office, store, row, attempt).await
}

async fn finish(office: &Office, store: &Arc<Store>, row: Row, attempt: Attempt) -> Result<(), Error> {
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
            Attempt::Permanent(failure) => (Outgoing::Dead, now, Err(failure)),
            // SMTP has no idempotency key: a person decides.
            Attempt::Unknown(failure) => (Outgoing::Unconfirmed, now, Err(failure)),
            Attempt::Transient(failure) => match backoff::SENDING.wait(row.attempts, dice) {
                Some(wait) => (Outgoing::Pending, now + millis(wait), Err(failure)),
                None => (Outgoing::Dead, now, Err(failure)),
            },
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
        Ok(store.finish_attempt(id, state, due_at, outcome, now)?)
    })
    .await
}
