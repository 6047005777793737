//! `remotelab generate-token`

use anyhow::Context;
use remotelab_config::atomic;
use remotelab_config::chat::Settings;
use remotelab_config::secret::Secret;
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
    output::text(&format!(
        "Token file: {}\nYour access token: {token}\nOpen: http://127.0.0.1:{}/?token={token}\n",
        file.display(),
        settings.port
    ))
}
