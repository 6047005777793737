//! Asking by all ways at once, within one deadline for everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Channel, Class, Reached, sort_answer, sort_failure};
use crate::guests::view::View;

const PATH: &str = "/api/build-info";

const LOCAL_PATIENCE: Duration = Duration::from_millis(1500);

const REMOTE_PATIENCE: Duration = Duration::from_secs(4);

/// All of it ends after this time, however many there are.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Questions under way at the same time.
const PARALLEL: usize = 16;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// One question.
struct Question {
    guest: usize,
    way: usize,
    base: String,
    id: String,
}

/// Asks all guests and notes the answers. Blocks for at most a few seconds. Needs a TLS provider in the process.
pub(in crate::guests) fn probe(views: &mut [View]) {
    probe_within(views, DEADLINE);
}

pub(super) fn probe_within(views: &mut [View], deadline: Duration) {
    let ways = views.iter().map(|view| [view.local_base(), view.public_base(), view.bridge_base.clone()]);
    let ways: Vec<[String; 3]> = ways.collect();
    let mut channels: Vec<[Channel; 3]> = ways
        .iter()
        .zip(views.iter())
        .map(|(bases, view)| {
            let unasked = |base: &String| match (base.is_empty(), view.asleep) {
                (true, _) => Class::Skipped,
                (false, true) => Class::Asleep,
                (false, false) => Class::Timeout,
            };
            bases.each_ref().map(|base| Channel::bare(unasked(base)))
        })
        .collect();
    // The near ones first: they take no time, and those that do must not keep them waiting.
    let questions = (0..3).flat_map(|way| {
        let ways = ways.iter().enumerate();
        ways.map(move |(guest, bases)| (guest, way, bases[way].clone()))
    });
    let questions = questions
        .filter(|(guest, way, _)| channels[*guest][*way].status == Class::Timeout)
        .map(|(guest, way, base)| Question { guest, way, base, id: views[guest].record.id.clone() })
        .collect();
    ask_all(questions, deadline, &mut channels);
    for (view, [local, public, bridge]) in views.iter_mut().zip(channels) {
        view.local_reachable = local.is_reachable();
        view.public_reachable = public.is_reachable();
        view.reached = Some(Reached { local, public, bridge });
    }
}

fn ask_all(questions: Vec<Question>, deadline: Duration, channels: &mut [[Channel; 3]]) {
    let builder = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    // Whatever proxy there is, it is not on the way to this machine.
    let (near, far) = (builder().no_proxy().build(), builder().build());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (Ok(near), Ok(far), Ok(runtime)) = (near, far, runtime) else {
        return;
    };
    runtime.block_on(async {
        let places = Arc::new(Semaphore::new(PARALLEL));
        let mut asked = JoinSet::new();
        for question in questions {
            let client = if question.way == 0 { near.clone() } else { far.clone() };
            let places = Arc::clone(&places);
            asked.spawn(async move {
                let _place = places.acquire().await;
                (question.guest, question.way, ask(&client, &question).await)
            });
        }
        let note_all = async {
            while let Some(answer) = asked.join_next().await {
                if let Ok((guest, way, channel)) = answer {
                    channels[guest][way] = channel;
                }
            }
        };
        let _ = tokio::time::timeout(deadline, note_all).await;
    });
    // A host name that is still being looked up has nobody to report to.
    runtime.shutdown_background();
}

async fn ask(client: &reqwest::Client, question: &Question) -> Channel {
    let begin = Instant::now();
    let patience = if question.way == 0 { LOCAL_PATIENCE } else { REMOTE_PATIENCE };
    let address = format!("{}{PATH}", question.base.trim_end_matches('/'));
    let answer = match client.get(address).timeout(patience).send().await {
        Ok(answer) => answer,
        Err(error) => return sort_failure(&error),
    };
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
    let body = match read(answer).await {
        Ok(body) => body,
        Err(error) => return Channel { http_status: Some(status), ..sort_failure(&error) },
    };
    let info: Value = serde_json::from_slice(&body).unwrap_or_default();
    let latency_ms = u64::try_from(begin.elapsed().as_millis()).ok();
    let sorted = sort_answer(status, location.as_deref(), info["instanceId"].as_str(), &question.id);
    Channel { latency_ms, ..sorted }
}

/// Reads the beginning of a body.
async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER {
        match answer.chunk().await? {
            Some(chunk) => body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]),
            None => break,
        }
    }
    Ok(body)
}
