//! Keeps the routes in step with the registry, off the request path.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use remotelab_config::registry::{self, Registry};
use remotelab_config::secret::Secret;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Core;
use super::live::Draft;
use crate::limit;
use crate::route::build::{Guest, Inputs, Main, Problem, build};

/// Writers change a file in several steps.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Looks by itself this often, for what no notification told.
const SAFETY: Duration = Duration::from_secs(30);
/// Service definitions and secrets are small; anything longer is neither.
const MAX_FILE: u64 = 64 * 1024;

/// Where routes come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) registry: PathBuf,
    pub(crate) main: Main,
    pub(crate) limits: limit::Tenant,
    pub(crate) own_ports: Vec<u16>,
    pub(crate) own_hosts: Vec<String>,
}

impl Source {
    /// Reads everything and builds a table. Blocks.
    ///
    /// # Errors
    /// When the registry is there and is no registry. One wrong record is not an error.
    pub(crate) fn read(&self) -> Result<Draft, registry::Error> {
        let registry = Registry::load(&self.registry)?;
        let guests = registry
            .guests
            .iter()
            .filter(|record| record.state.is_ready())
            .map(|record| Guest::new(record, definition(&record.launch_agent_path).as_deref()))
            .collect();
        Ok(self.draft(guests))
    }

    /// What is left without a registry. Blocks.
    pub(crate) fn main_alone(&self) -> Draft {
        self.draft(Vec::new())
    }

    fn draft(&self, guests: Vec<Guest>) -> Draft {
        let (table, problems) = build(&Inputs {
            main: Some(self.main.clone()),
            guests,
            own_ports: self.own_ports.clone(),
            own_hosts: self.own_hosts.clone(),
            limits: self.limits,
        });
        let secrets = table.routes().iter().map(|route| secret(&route.secret_file)).collect();
        Draft { table, problems, secrets }
    }
}

/// Asks for a reload and for the generation that is in force afterwards.
pub(crate) type Requests = mpsc::Receiver<oneshot::Sender<Result<u64, String>>>;

/// Follows the source until the gateway drains.
pub(crate) async fn follow(core: Arc<Core>, source: Source, mut requests: Requests) {
    let changed = Arc::new(Notify::new());
    // Without notifications (no inotify left, say) the safety interval still finds changes.
    let _watcher = watch(&source.registry, Arc::clone(&changed))
        .inspect_err(|error| tracing::warn!(%error, "registry is polled: no change notifications"));
    let mut safety = interval(SAFETY);
    safety.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled: Option<Instant> = None;
    let mut reports = Reports::default();
    loop {
        tokio::select! {
            () = core.draining.cancelled() => return,
            Some(reply) = requests.recv() => {
                // The one who asked may be gone.
                let _ = reply.send(reload(&core, &source, &mut reports).await);
            }
            () = changed.notified() => settled = Some(Instant::now() + DEBOUNCE),
            () = sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => {
                settled = None;
                let _ = reload(&core, &source, &mut reports).await;
            }
            _ = safety.tick() => {
                let _ = reload(&core, &source, &mut reports).await;
                for upstream in &core.snapshot.load().upstreams {
                    upstream.pool.prune(SAFETY);
                }
            }
        }
    }
}

/// What was said already; each thing is said once while it lasts.
#[derive(Default)]
struct Reports {
    error: Option<String>,
    problems: HashSet<Problem>,
}

async fn reload(core: &Core, source: &Source, reports: &mut Reports) -> Result<u64, String> {
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    let draft = match read {
        Ok(Ok(draft)) => draft,
        Ok(Err(error)) => return Err(keep(chain(&error), reports)),
        Err(error) => return Err(keep(error.to_string(), reports)),
    };
    reports.error = None;
    let problems: HashSet<Problem> = draft.problems.iter().cloned().collect();
    for problem in problems.difference(&reports.problems) {
        tracing::warn!(%problem, "registry record needs a look");
    }
    reports.problems = problems;
    Ok(core.snapshot.publish(draft, core.settings.limits.pooled))
}

fn keep(error: String, reports: &mut Reports) -> String {
    if reports.error.as_ref() != Some(&error) {
        tracing::error!(%error, "registry cannot be read, the last good routes stay");
        reports.error = Some(error.clone());
    }
    error
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Watches the folder, because the file is replaced and not written to.
fn watch(file: &Path, changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let name = file.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = event.is_ok_and(|event| {
            !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == name.as_deref())
        });
        if concerns {
            changed.notify_one();
        }
    })?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn definition(path: &Path) -> Option<String> {
    if path.as_os_str().is_empty() {
        return None;
    }
    small_file(path).ok()
}

/// Reads an instance's key, and makes it where the instance has not done so yet. Without one the gateway's
/// headers are not believed, which is safe.
fn secret(path: &Path) -> Option<Secret> {
    let read = || small_file(path).ok().and_then(|text| Secret::parse(text.trim()).ok());
    match small_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Whoever comes first wins; the other one reads what is there.
            let _ = create_secret(path);
            read()
        }
        _ => read(),
    }
}

/// Writes beside and links, so that nobody ever reads half a key and nobody's key is replaced.
fn create_secret(path: &Path) -> io::Result<()> {
    let beside = path.with_extension(format!("tmp-{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(Secret::random().reveal().as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&beside, path)
    })();
    // Left behind only if the folder is gone.
    let _ = fs::remove_file(&beside);
    written
}

fn small_file(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_key_is_made_once_and_a_damaged_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway-secret");
        let made = secret(&path).unwrap();
        assert_eq!(secret(&path), Some(made));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "damaged").unwrap();
        assert_eq!(secret(&path), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
        assert_eq!(secret(&folder.path().join("no/such/folder")), None);
    }
}
