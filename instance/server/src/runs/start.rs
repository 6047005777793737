//! Starting the detached runner of a run.

use std::io;
use std::path::PathBuf;

use remotelab_config::atomic;
use remotelab_config::chat::Settings;
use remotelab_executor::cgroup;
use remotelab_executor::command::{self, CodexHome, Context};
use remotelab_executor::contain::{self, Ground, Policy, Walls};
use remotelab_executor::{Download, Launch, LoginShell, runner};
use remotelab_protocol::RunId;
use remotelab_protocol::run::Manifest;
use remotelab_store::runs;

use crate::after;
use crate::app::{App, Shared, blocking};
use crate::assets::Provider;
use crate::attachments;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    File(#[from] atomic::Error),
    #[error("the record of what to do is missing")]
    NoManifest,
    #[error("cannot start the runner")]
    Spawn(#[source] io::Error),
}

/// Starts a run's runner. The runner itself sees to it that what a run does is never done twice. When it
/// cannot be started, the run ends as failed with the reason.
pub(crate) async fn start(app: &Shared, run: &RunId) {
    let (worker, id) = (std::sync::Arc::clone(app), run.clone());
    let handle = tokio::runtime::Handle::current();
    let started = blocking(move || {
        let _runtime = handle.enter();
        worker.start_runner(&id)
    })
    .await;
    let Err(error) = started else { return };
    tracing::error!(run.id = %run, error = ?error, "cannot start a run");
    let reason =
        format!("RemoteLab could not start the work: {error}. Try again, or look at the server's log.");
    let folder = runs::folder(&app.settings.paths, run);
    if let Err(error) = blocking(move || runner::give_up(&folder, &reason)).await {
        tracing::error!(run.id = %run, %error, "cannot note why a run failed");
    }
}

impl App {
    fn start_runner(&self, run: &RunId) -> Result<(), Error> {
        let paths = &self.settings.paths;
        let folder = runs::folder(paths, run);
        let mut manifest = runs::manifest(self.store.files(), run)?.ok_or(Error::NoManifest)?;
        let downloads = self.locate_files(&mut manifest);
        // The session's tool was known when the message was accepted; if it has gone since, the run says so.
        let tool = self.catalogue.find(&manifest.tool).unwrap_or_else(|| remotelab_protocol::tool::Tool {
            id: manifest.tool.clone(),
            name: manifest.tool.clone(),
            command: manifest.tool.clone(),
            ..Default::default()
        });
        let mut context =
            Context::new(&self.settings, &self.env, self.catalogue.search_path(), self.program.clone())
                .with_launcher(self.launcher.clone())
                .with_shell(self.shell.as_ref().and_then(LoginShell::env))
                .with_shared_tool(self.catalogue.shared_tool(&tool.id));
        context.chat_base_url = command::base_url(self.listener());
        let program = self.catalogue.resolve(&tool.command);
        self.prepare_homes(&context)?;
        let launch = command::launch(&tool, program, &manifest, &context);
        let contain = self.policy(&launch, &context);
        let Settings { limits, instance_name, .. } = &self.settings;
        let cgroup = if limits.is_unset() { None } else { cgroup::place(instance_name, limits) };
        Launch { downloads, contain, limits: *limits, cgroup, ..launch }.write(&folder)?;
        let mut env = command::environment(&tool, &manifest, &self.env, &context);
        // Whoever is asked about a turn or a conversation answers and does nothing else.
        if matches!(manifest.internal_operation.as_deref(), None | Some(after::REPAIR)) {
            env.set("REMOTELAB_RUN_TOKEN", self.auth.run_tokens().token(run.as_str()));
        }
        runner::spawn(&self.program, &folder, &env).map_err(Error::Spawn)?;
        Ok(())
    }

    /// Makes the homes of executors ready, with the logins of the service's user.
    fn prepare_homes(&self, context: &Context) -> Result<(), atomic::Error> {
        let Settings { home, paths, contained, .. } = &self.settings;
        let codex = command::personal_codex_home(&self.env, home);
        if let Some(contained) = contained {
            contain::prepare_homes(
                contained,
                paths,
                &codex,
                &command::personal_claude_home(&self.env, home),
            )?;
        }
        match &context.codex_home {
            CodexHome::Managed(managed) => command::prepare_codex_home(managed, &codex, contained.is_none()),
            CodexHome::Personal(_) => Ok(()),
        }
    }

    /// What the run may see and do, where runs are contained.
    fn policy(&self, launch: &Launch, context: &Context) -> Option<Policy> {
        let contained = self.settings.contained.as_ref()?;
        let mut told: Vec<PathBuf> = vec![self.program.clone()];
        told.extend(context.shared_tool.as_ref().map(|tool| tool.folder.clone()));
        told.push(self.system_memory());
        let ground = Ground {
            contained,
            paths: &self.settings.paths,
            home: &self.settings.home,
            program: &launch.program,
            search_path: &context.search_path,
            told: &told,
            env: &self.env,
            port: self.listener().port(),
        };
        Some(Policy::new(&ground, Walls::here()))
    }

    /// Says where the files of a message are on this host, and which of them the runner has to fetch. The
    /// manifest as it is stored names no paths.
    fn locate_files(&self, manifest: &mut Manifest) -> Vec<Download> {
        let located = attachments::located(self, &manifest.options.images);
        let downloads = located.iter().filter_map(|(file, asset)| {
            let asset = asset.as_ref().filter(|asset| asset.storage.provider == Provider::S3Compatible)?;
            Some(Download {
                name: file.display_name().to_owned(),
                url: self.assets.storage()?.link(asset, false).url,
                path: file.saved_path.as_ref()?.into(),
                size: asset.size_bytes,
            })
        });
        let downloads = downloads.collect();
        manifest.options.images = located.into_iter().map(|(file, _)| file).collect();
        downloads
    }
}
