//! A mail in a session is watched until its run has ended and said all, then answered.

mod files;
mod history;

use std::sync::Arc;
use std::time::Duration;

use remotelab_client::{Found, Instance};
use remotelab_protocol::{Attachment, Run, RunState};

use crate::clock::millis;
use crate::letter::{Letter, LetterFile};
use crate::office::{Error, Office, blocking};
use crate::places::{Place, Settings};
use crate::state::Inbound;
use crate::store::{Answer, Item, NewLetter, Store};
use crate::submit::{item_of_request, request_id};
use crate::{backoff, reply, subaddress};

/// A run that has not ended by then counts as failed.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The pause after an instance did not answer: it is local and comes back soon or stays away.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);

/// How a run ended for the mails it worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Answered(String, Vec<LetterFile>),
    /// A word for the listing.
    Failed(String),
}

/// Looks at one submitted mail once.
pub(crate) async fn look(
    office: &Arc<Office>,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
) -> Result<(), Error> {
    let now = office.clock.now();
    let watched = now - item.submitted_at.unwrap_or(now);
    if watched > millis(PATIENCE) {
        let end = End::Failed("no answer within seven days".to_owned());
        return conclude(office, place, settings, store, item, Ended::of(item, end)).await;
    }
    let pause = match find_end(office, place, settings, store, item).await {
        Ok(Some(ended)) => return conclude(office, place, settings, store, item, ended).await,
        Ok(None) => backoff::poll_pause(Duration::from_millis(u64::try_from(watched).unwrap_or(0))),
        Err(Fault::Office(error)) => return Err(error),
        Err(Fault::Instance(error)) if is_gone(&error) => {
            let end = End::Failed("its session or run is gone".to_owned());
            return conclude(office, place, settings, store, item, Ended::of(item, end)).await;
        }
        Err(Fault::Instance(error)) => {
            tracing::debug!(mail.id = %item.id, "run of mail {} not readable: {error}", item.id);
            UNREACHABLE_PAUSE
        }
    };
    let (store, item, due) = (Arc::clone(store), item.clone(), now + millis(pause));
    blocking(move || Ok(store.postpone(&item, due, None)?)).await
}

/// What became of the run of a mail.
struct Ended {
    run: Option<String>,
    /// The mails that it worked on, this one or not.
    items: Vec<String>,
    end: End,
}

impl Ended {
    /// That of one mail alone.
    fn of(item: &Item, end: End) -> Self {
        Self { run: item.run_id.clone(), items: Vec::new(), end }
    }
}

enum Fault {
    Office(Error),
    Instance(remotelab_client::Error),
}

impl From<remotelab_client::Error> for Fault {
    fn from(error: remotelab_client::Error) -> Self {
        Self::Instance(error)
    }
}

/// Tells whether the instance knows nothing of the session or run any more.
fn is_gone(error: &remotelab_client::Error) -> bool {
    error.status().is_some_and(|status| status == http::StatusCode::NOT_FOUND)
}

/// Returns the mail's run, which mails it answers and how it ended, or `None` while it goes on or may still
/// say more.
async fn find_end(
    office: &Office,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
) -> Result<Option<Ended>, Fault> {
    office.awake(place).await;
    let client: Arc<Instance> = office.client(place)?;
    let run_id = match &item.run_id {
        Some(run_id) => run_id.clone(),
        None => {
            let Some(run_id) = find_run(&client, item).await? else { return Ok(None) };
            let (store, id, found) = (Arc::clone(store), item.id.clone(), run_id.clone());
            let now = office.clock.now();
            blocking(move || Ok(store.found_run(&id, &found, now)?)).await.map_err(Fault::Office)?;
            run_id
        }
    };
    let run = client.run(&run_id).await?;
    if !run.state.is_terminal() {
        return Ok(None);
    }
    let Some(Said { text, files, requests }) = said(&client, &run).await? else { return Ok(None) };
    let end = match (run.state, text) {
        (RunState::Completed, text) if text.is_some() || !files.is_empty() => {
            let most = settings.policy.max_attachment_bytes;
            let gathered =
                files::gather(&client, store, &files, most).await.map_err(|fault| match fault {
                    files::Fault::Office(error) => Fault::Office(error),
                    files::Fault::Instance(error) => Fault::Instance(error),
                })?;
            End::Answered(with_files(text, &gathered), gathered.files)
        }
        (RunState::Completed, _) => End::Failed("the run said nothing".to_owned()),
        (RunState::Cancelled, _) => End::Failed("the run was cancelled".to_owned()),
        (_, _) => End::Failed(run.failure_reason.unwrap_or_else(|| "the run failed".to_owned())),
    };
    let items = requests.iter().filter_map(|request| item_of_request(request)).map(str::to_owned).collect();
    Ok(Some(Ended { run: Some(run_id), items, end }))
}

/// Finds the run of a mail that waited in its session.
async fn find_run(client: &Instance, item: &Item) -> Result<Option<String>, remotelab_client::Error> {
    let session_id = item.session_id.as_deref().unwrap_or_default();
    let request = request_id(&item.id, item.round);
    Ok(match client.run_of_request(session_id, &request).await? {
        Found::Run(run) => Some(run.to_string()),
        Found::NotYet => None,
        Found::Unknown => history::run_of(&client.events(session_id).await?, &request),
    })
}

/// The text of an answer with the names of files that stay in the session; one without text names those
/// that go along.
fn with_files(text: Option<String>, gathered: &files::Gathered) -> String {
    let mut texts = Vec::from_iter(text);
    if texts.is_empty() && !gathered.files.is_empty() {
        let names: Vec<&str> = gathered.files.iter().take(3).map(|file| file.name.as_str()).collect();
        texts.push(format!("Attached: {}", names.join(", ")));
    }
    if !gathered.left.is_empty() {
        texts.push(format!("(Files in the session: {})", gathered.left.join(", ")));
    }
    texts.join("\n\n")
}

/// What a run said, and the requests that it answers.
struct Said {
    text: Option<String>,
    files: Vec<Attachment>,
    requests: Vec<String>,
}

/// Reads what a run that has ended said, and behind it what the run said that went on with what was missing;
/// `None` while there may be such a run.
async fn said(client: &Instance, run: &Run) -> Result<Option<Said>, remotelab_client::Error> {
    let reply = client.reply(run).await?;
    let Some(last) = reply.settled_run_id else { return Ok(None) };
    let (mut texts, mut files) = (Vec::from_iter(reply.text), reply.attachments);
    if last != run.id {
        let more = client.reply(&client.run(last.as_str()).await?).await?;
        texts.extend(more.text);
        files.extend(more.attachments);
    }
    let text = Some(texts.join("\n\n")).filter(|text| !text.is_empty());
    let requests = match reply.request_ids {
        // An instance of an older version does not tell.
        none if none.is_empty() => {
            history::requests_of(&client.events(run.session_id.as_str()).await?, run.id.as_str())
        }
        told => told,
    };
    Ok(Some(Said { text, files, requests }))
}

/// Writes the answer and the mails' fate in one step. A run that worked on several mails gives one
/// letter, which answers the newest of them.
async fn conclude(
    office: &Office,
    place: &Place,
    settings: &Settings,
    store: &Arc<Store>,
    item: &Item,
    Ended { run, items, end }: Ended,
) -> Result<(), Error> {
    let now = office.clock.now();
    let (store, item, place, settings) = (Arc::clone(store), item.clone(), place.clone(), settings.clone());
    blocking(move || {
        let mut together = vec![item.clone()];
        for id in items.iter().filter(|id| **id != item.id) {
            let other = store.item(id)?;
            together.extend(other.filter(|other| other.thread_id == item.thread_id && is_open(other)));
        }
        let newest = together.iter().max_by_key(|item| (item.received_at, &item.id)).unwrap_or(&item);
        let (state, kind, text, reason, files) = match end {
            End::Answered(text, files) => (Inbound::Answered, "reply", text, String::new(), files),
            End::Failed(why) => {
                (Inbound::Failed, "failure", reply::FAILURE_NOTICE.to_owned(), why, Vec::new())
            }
        };
        let token = subaddress::token(&store.thread_secret()?, item.thread_id.unwrap_or_default());
        let is_due = state == Inbound::Answered || reply::is_told(newest, &settings);
        let letter =
            is_due.then(|| reply::compose(newest, &place, &settings, token.as_deref(), &text)).flatten();
        let letter = letter.map(|letter| Letter { files, ..letter });
        // The run's own id: several mails of one run may be looked at at once.
        let target = format!("run:{}", run.as_ref().unwrap_or(&item.id));
        let letter = letter.as_ref().map(|letter| NewLetter {
            target: &target,
            kind,
            thread_id: item.thread_id,
            letter,
        });
        let ids: Vec<String> = together.iter().map(|item| item.id.clone()).collect();
        let unless_since = (state == Inbound::Failed).then_some(now - reply::NOTICE_PAUSE);
        Ok(store.answer(&Answer { items: &ids, state, reason: &reason, letter, unless_since }, now)?)
    })
    .await
}

/// Whether a mail still waits for its answer.
fn is_open(item: &Item) -> bool {
    matches!(item.state, Inbound::Submitted | Inbound::Approved)
}
