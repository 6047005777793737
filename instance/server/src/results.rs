//! Files that a run declares as its results: those its answer names. They become assets of the session and
//! one message that offers them.
//!
//! The end of a run in which something was said that may name a file notes in the session that its results are
//! due. The message, the run's list of them and
//! the removal of that note are one change, so that a server that dies anywhere publishes them once.

mod paths;
mod publishing;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use remotelab_config::atomic;
use remotelab_config::paths::expand;
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::{AssetId, Attachment, Event, Kind, Role, Run, RunId, RunState, reply};
use remotelab_protocol::{Session, time};
use remotelab_store::history::Bodies;
use remotelab_store::{Draft, SessionCell, journal, runs};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::after;
use crate::app::{App, Shared, blocking};
use crate::assets::{self, Creator, Wanted};
use crate::clock::{now_iso, now_ms};
use crate::submit::of_run;

pub(crate) use publishing::Publishing;

/// The most files of one run.
const MOST: usize = 10;
/// The largest of them, in bytes.
const LARGEST: u64 = 512 << 20;
/// How much earlier than its run a file may have been written: clocks of file systems are coarse.
const EARLIER: Duration = Duration::from_secs(1);
/// How long whoever asks for it waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far back the events of a run are looked for.
const LOOK_BACK: u64 = 5_000;
/// The field of a run that lists what was published.
const FIELD: &str = "publishedResultAssets";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Storage(#[from] journal::Error),
    #[error(transparent)]
    File(#[from] atomic::Error),
    #[error(transparent)]
    Asset(#[from] assets::Error),
}

/// A file to publish.
struct Found {
    path: PathBuf,
    /// As seen from the run's folder.
    shown: String,
}

/// Notes that the results of a run are due; part of the change that ends it.
pub(crate) fn expect(app: &App, session: &mut Session, run: &Run) {
    if after::is_for_people(run)
        && run.state == RunState::Completed
        && !session.runs_with_results.contains(&run.id)
    {
        session.runs_with_results.push(run.id.clone());
        app.publishing.begin(&run.id);
    }
}

/// Tells whether a part of a run's history may be what declares a file.
pub(crate) fn may_name_files(part: &Known) -> bool {
    matches!(part, Known::Message(message) if !paths::named(&message.content).is_empty())
}

/// Publishes the results of a run that has ended, if they are due. When it fails they stay due, and the
/// next start tries again.
pub(crate) async fn publish(app: &Shared, cell: &Arc<SessionCell>, run: &RunId) {
    if cell.with(|state| state.session.runs_with_results.contains(run)) {
        let (worker, cell, id) = (Arc::clone(app), Arc::clone(cell), run.clone());
        let publishing = tokio::spawn(async move {
            if let Err(error) = publish_now(&worker, &cell, &id).await {
                tracing::warn!(run.id = %id, %error, "the files of a run cannot be offered yet");
            }
        });
        // A storage that is slow must not keep what follows the turn: it goes on without us.
        let _ = tokio::time::timeout(PATIENCE, publishing).await;
    }
    app.publishing.end(run);
    app.completions.changed.notify_waiters();
}

/// Publishes what the last server had not come to.
pub(crate) fn resume(app: &Shared, cell: &Arc<SessionCell>) {
    for run in cell.with(|state| state.session.runs_with_results.clone()) {
        // At once: deliveries about the run are tried as soon as the server has started.
        app.publishing.begin(&run);
        let (app, cell) = (Arc::clone(app), Arc::clone(cell));
        tokio::spawn(async move { publish(&app, &cell, &run).await });
    }
}

async fn publish_now(app: &Shared, cell: &Arc<SessionCell>, run: &RunId) -> Result<(), Error> {
    let (worker, target, id) = (Arc::clone(app), Arc::clone(cell), run.clone());
    let found = blocking(move || {
        let run = runs::load(worker.store.files(), &id)?;
        run.as_ref().map_or_else(|| Ok(Vec::new()), |run| worker.declared(&target, run))
    })
    .await?;
    let mut published = Vec::new();
    for found in found {
        let wanted = Wanted {
            session: cell.id().clone(),
            creator: Creator::Assistant,
            name: found.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            media_type: "application/octet-stream".to_owned(),
            size: None,
        };
        match app.assets.publish(asset_id(run, &found.shown), wanted, found.path).await {
            Ok(asset) => {
                published.push(Attachment { render_as: Some("file".to_owned()), ..asset.attachment() });
            }
            Err(error @ (assets::Error::NoFile(_) | assets::Error::TooLarge)) => {
                tracing::warn!(run.id = %run, %error, "a file of a run is not offered");
            }
            Err(error) => return Err(error.into()),
        }
    }
    announce(app, cell, run, published).await
}

/// Shows the files and notes that they are published.
async fn announce(
    app: &Shared,
    cell: &Arc<SessionCell>,
    id: &RunId,
    files: Vec<Attachment>,
) -> Result<(), Error> {
    let shown = !files.is_empty();
    let (worker, target, id) = (Arc::clone(app), Arc::clone(cell), id.clone());
    let ((), commit) = blocking(move || target.change(|draft| show(&worker, draft, &id, files))).await;
    commit.durable().await?;
    if shown {
        app.hub.session_changed(cell);
        app.hub.list_changed();
    }
    Ok(())
}

fn show(app: &App, draft: &mut Draft<'_>, id: &RunId, files: Vec<Attachment>) {
    let due = &mut draft.session_mut().runs_with_results;
    let before = due.len();
    due.retain(|due| due != id);
    if due.len() == before || files.is_empty() {
        return;
    }
    // As it is now: what became of its answer is noted there, too.
    let Ok(Some(mut run)) = runs::load(app.store.files(), id) else { return };
    run.rest.insert(FIELD.to_owned(), json!(files));
    run.updated_at = now_iso();
    let message = Message {
        images: files.clone(),
        attachments: files,
        source: Some("result_file_assets".to_owned()),
        result_run_id: Some(id.to_string()),
        ..Message::default()
    };
    draft.append(of_run(&run, Event::message(Role::Assistant, message, now_ms())));
    draft.put_run(run);
    draft.session_mut().updated_at = now_iso();
}

impl App {
    /// Finds the files that a run declares as its results. Blocks.
    fn declared(&self, cell: &SessionCell, run: &Run) -> Result<Vec<Found>, Error> {
        let Some(manifest) = runs::manifest(self.store.files(), &run.id)? else { return Ok(Vec::new()) };
        if !after::is_for_people(run) {
            return Ok(Vec::new());
        }
        let events = events_of(cell, run);
        let has_files =
            |event: &Event| event.as_message().is_some_and(|message| !message.attachments.is_empty());
        if events.iter().any(|event| event.role == Some(Role::Assistant) && has_files(event)) {
            return Ok(Vec::new());
        }
        let Some(answer) = reply::choose(&events, reply::Of::Run(run.id.as_str())) else {
            return Ok(Vec::new());
        };
        let named = paths::named(&answer);
        let folder = expand(&manifest.folder, &self.settings.home);
        let changed = events.iter().filter_map(|event| match &event.kind {
            Kind::Known(Known::FileChange { file_path, .. }) => Some(folder.join(file_path)),
            _ => None,
        });
        let changed: Vec<PathBuf> = changed.filter(|path| paths::is_named(path, &named)).collect();
        let candidates: Vec<PathBuf> = named
            .iter()
            .map(|path| paths::resolve(path, &folder, &self.settings.home))
            .chain(changed)
            .collect();
        let started = run.started_at.as_deref().unwrap_or(&run.created_at);
        let Some(started) = time::parse_iso(started) else { return Ok(Vec::new()) };
        let not_before = SystemTime::from(started) - EARLIER;
        let Ok(root) = folder.canonicalize() else { return Ok(Vec::new()) };
        let own = self.settings.paths.config().canonicalize().unwrap_or_default();
        let mut seen = BTreeSet::new();
        let found = candidates.iter().filter_map(|path| accept(path, &root, &own, not_before));
        Ok(found.filter(|found| seen.insert(found.shown.clone())).take(MOST).collect())
    }
}

/// Returns a run's events, texts included.
fn events_of(cell: &SessionCell, run: &Run) -> Vec<Event> {
    let latest = cell.with(|state| state.meta.latest_seq);
    let history = cell.history();
    let mut events = history.read(latest.saturating_sub(LOOK_BACK) + 1..=latest, Bodies::Preview);
    events.retain(|event| event.run_id.as_deref() == Some(run.id.as_str()));
    for event in &mut events {
        if event.is_message_of(Role::Assistant)
            && let Some(whole) = history.event(event.seq, Bodies::Whole)
        {
            *event = whole;
        }
    }
    events
}

/// Accepts a regular, filled file below the run's folder that was written since the run began. Hidden ones
/// are nobody's results, and what belongs to this server even less.
fn accept(path: &Path, root: &Path, own: &Path, not_before: SystemTime) -> Option<Found> {
    let path = path.canonicalize().ok()?;
    let below = path.strip_prefix(root).ok()?;
    let is_hidden = below.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    if is_hidden || (!own.as_os_str().is_empty() && path.starts_with(own)) {
        return None;
    }
    let about = fs::symlink_metadata(&path).ok()?;
    let fits = about.is_file() && (1..=LARGEST).contains(&about.len());
    let is_new = about.modified().is_ok_and(|modified| modified >= not_before);
    (fits && is_new).then(|| Found { shown: below.to_string_lossy().into_owned(), path: path.clone() })
}

/// The same file of the same run is the same asset, however often it is published.
fn asset_id(run: &RunId, shown: &str) -> AssetId {
    let digest = Sha256::digest(format!("{run}\n{shown}").as_bytes());
    let id = format!("fasset_{}", hex::encode(&digest[..12]));
    AssetId::parse(&id).unwrap_or_else(|_| AssetId::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_files_of_the_folder_are_accepted() {
        let outside = tempfile::tempdir().unwrap();
        let home = outside.path().canonicalize().unwrap();
        let root = home.join("run");
        fs::create_dir_all(root.join("out/.hidden")).unwrap();
        fs::create_dir_all(root.join("config")).unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let old = SystemTime::now() - Duration::from_secs(60);
        let accepted = |path: &Path| accept(path, &root, &root.join("config"), old).map(|found| found.shown);
        let new = write("out/new.txt", "x");
        assert_eq!(accepted(&new), Some("out/new.txt".into()));
        assert_eq!(accepted(&root.join("out/../out/new.txt")), Some("out/new.txt".into()));
        let late = write("late.txt", "x");
        fs::File::open(&late).unwrap().set_modified(old - Duration::from_secs(1)).unwrap();
        fs::write(home.join("other.txt"), "x").unwrap();
        std::os::unix::fs::symlink(home.join("other.txt"), root.join("link.txt")).unwrap();
        for refused in [
            late,
            write("empty.txt", ""),
            write("out/.hidden/x.txt", "x"),
            write("config/auth.json", "x"),
            root.join("out"),
            root.join("gone.txt"),
            root.join("link.txt"),
            root.join("../other.txt"),
        ] {
            assert_eq!(accepted(&refused), None, "{}", refused.display());
        }
    }
}
