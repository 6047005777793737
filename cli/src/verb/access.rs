//! What a verb signs in with.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use remotelab_client::Instance;
use remotelab_config::InstancePaths;
use remotelab_config::auth::Auth;
use serde_json::Value;

use super::Failure;
use crate::chosen::{Chosen, Which};
use crate::output;
use crate::place::Place;

/// No file with a token is longer.
const FILE_MAX: u64 = 64 << 10;

/// Which instance, and with whose rights.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    /// The guest whose chat server it is; without it the instance that the environment chooses, mostly the owner's.
    #[arg(long, global = true, display_order = 902, value_name = "NAME")]
    instance: Option<String>,
    /// A file with the token to sign in with; by default `REMOTELAB_TOKEN_FILE`, then the token of the run, then the
    /// instance's own.
    #[arg(long, global = true, display_order = 903, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Send the token to another machine although everybody on the way can read it.
    #[arg(long, global = true, display_order = 904)]
    insecure: bool,
}

impl Access {
    /// The guest that was named.
    pub(super) fn chosen(&self, place: &Place) -> Result<Option<Chosen>, Failure> {
        let named = Which::named(self.instance.clone());
        if !named.is_named() {
            return Ok(None);
        }
        let usage = |error: anyhow::Error| Failure::usage(format!("{error:#}"));
        named.find(place).map(Some).map_err(usage)
    }

    /// Prepares a client and what it signs in with. `client` makes one of the file beside which the id of the token's
    /// instance lies.
    pub(super) fn sign_in(
        &self,
        place: &Place,
        chosen: Option<&Chosen>,
        client: impl FnOnce(&Path) -> Result<Instance, Failure>,
    ) -> Result<Instance, Failure> {
        let paths = chosen.map(|chosen| chosen.paths.clone());
        let auth = paths.unwrap_or_else(|| InstancePaths::from_env(&place.env, &place.home)).auth();
        let file =
            self.token_file.clone().or_else(|| place.env.get("REMOTELAB_TOKEN_FILE").map(PathBuf::from));
        let of_run = place.env.get("REMOTELAB_RUN_TOKEN").filter(|_| chosen.is_none());
        let (beside, token) = match (&file, of_run) {
            (Some(file), _) => (file, Some(read(file)?)),
            (None, of_run) => (&auth, of_run.map(str::to_owned)),
        };
        // What a verb prints ends in transcripts.
        let owners = Auth::load(&auth).ok().map(|auth| auth.token.reveal());
        output::conceal(owners.into_iter().chain(token.clone()).collect());
        let instance = client(beside)?;
        if instance.is_exposed() && !self.insecure {
            let base = instance.base_url();
            return Err(Failure::usage(format!("{base} would get the token in clear over the network"))
                .with_hint("an https address, or --insecure"));
        }
        Ok(match token {
            Some(token) => instance.with_bearer(token),
            None => instance,
        })
    }
}

/// Reads a token, which is alone in its file or the `token` of an `auth.json`.
fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|error| wrong(&error.to_string()))?;
    let token = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(fields)) => {
            fields.get("token").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => text.trim().to_owned(),
    };
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if is_token { Ok(token) } else { Err(wrong("there is no token in it")) }
}
