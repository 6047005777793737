//! Rows of one state, several at a time, each by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Ground, LONGEST, TROUBLE_PAUSE, wait};
use crate::office::{Error, blocking};
use crate::state::Inbound;
use crate::store::{Item, Store};

/// Whether to go on after a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    /// Others would fare the same: rest a little.
    Rest,
}

/// Works on the rows of a state when their time comes, until the instance's work is over.
pub(super) async fn run<F: Future<Output = Result<Next, Error>>>(
    ground: &Ground,
    state: Inbound,
    at_once: usize,
    work: impl Fn(Arc<Store>, Item) -> F,
) {
    let mut bell = ground.bell.subscribe();
    let mut under_way = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let mut rest = Duration::ZERO;
    while !ground.is_over() {
        let pause = if rest.is_zero() && busy.len() < at_once {
            match find(ground, state).await {
                Ok((store, due, pause)) => {
                    let idle = due.into_iter().filter(|item| !busy.contains(&item.id));
                    for item in idle.take(at_once - busy.len()).collect::<Vec<_>>() {
                        busy.insert(item.id.clone());
                        let (id, work) = (item.id.clone(), work(Arc::clone(&store), item));
                        under_way.push(async move { (id, work.await) });
                    }
                    pause
                }
                Err(error) => {
                    ground.report(&error);
                    rest = TROUBLE_PAUSE;
                    rest
                }
            }
        } else {
            rest.max(LONGEST)
        };
        tokio::select! {
            Some((id, outcome)) = under_way.next() => {
                busy.remove(&id);
                match outcome {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Rest) => rest = LONGEST,
                    Err(error) => {
                        ground.report(&error);
                        rest = TROUBLE_PAUSE;
                    }
                }
                ground.ring();
            }
            _ = bell.changed(), if rest.is_zero() => {}
            () = tokio::time::sleep(pause) => rest = Duration::ZERO,
            () = ground.shutdown.cancelled() => {}
        }
    }
    // Cut off by whoever waits for it; its rows tell what was under way.
    while under_way.next().await.is_some() {}
}

/// Returns the rows that are due, and how long to wait for others.
async fn find(ground: &Ground, state: Inbound) -> Result<(Arc<Store>, Vec<Item>, Duration), Error> {
    let (store, now) = (ground.store().await?, ground.now());
    blocking(move || {
        let due = store.due(state, now)?;
        let next = store.next_due(state)?;
        Ok((store, due, wait(next, now)))
    })
    .await
}
