//! `remotelab generate-token`

use anyhow::Context;
use remotelab_config::atomic;
use remotelab_config::chat::Settings;
use remotelab_config::secret::Secret;
use remotelab_manager::guests::{self, links};
use serde_json::{Map, Value};

use crate::output;
use crate::place::Place;

pub(crate) fn run() -> anyhow::Result<()> {
    let place = Place::find()?;
    let settings = Settings::from_env(&place.env, &place.home);
    let file = settings.paths.auth();
    // Not by the type that checks tokens: a damaged one is what this command is often called for.
    let mut auth: Map<String, Value> =
        atomic::read_json(&file).context("move the file away to start with a new one")?.unwrap_or_default();
    let token = Secret::random().reveal();
    auth.insert("token".to_owned(), Value::String(token.clone()));
    atomic::create_private_dir(settings.paths.config())?;
    atomic::write_json(&file, &auth)?;
    let base = guests::owner_public_base(&place.home, settings.port)?
        .unwrap_or_else(|| links::local_base(settings.port));
    let (file, link) = (file.display(), links::access(&base, Some(&token)));
    output::text(&format!("Token file: {file}\nYour access token: {token}\nOpen: {link}\n"))
}
