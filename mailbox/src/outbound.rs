//! Ways out of the house: one per provider, in the order of `outbound.json`, chosen at each attempt.

mod cloudflare_api;
mod file;
mod http;
mod resend;
mod sendmail;
mod smtp;
mod worker;

use std::pin::Pin;

use crate::letter::Letter;
use crate::settings::{Outbound, Provider};
use crate::state::Attempt;

/// A client for an address, with bounds.
pub(crate) fn client(url: &str) -> Result<&'static reqwest::Client, Attempt> {
    http::client(url)
}

/// Where Resend's API is, unless settings say otherwise.
pub(crate) fn resend_base(set: &str) -> &str {
    if set.is_empty() { resend::BASE } else { set.trim_end_matches('/') }
}

type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// A letter with everything an attempt needs.
pub(crate) struct Dispatch<'a> {
    /// The letter's id, which is the same at every attempt.
    pub(crate) id: &'a str,
    pub(crate) letter: &'a Letter,
    /// The contents of its files, in their order.
    pub(crate) files: &'a [Vec<u8>],
    pub(crate) unix_seconds: u64,
    /// Awaited right before the text goes out, and not before: from then on the outcome of a broken
    /// connection is unknown. `false` stops the attempt. A provider that knows the letter's id needs it
    /// not: it takes the same letter once.
    pub(crate) before_text: Before<'a>,
}

/// What is done before the text goes out.
pub(crate) type Before<'a> = &'a (dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync);

/// An attempt, and the provider that made it.
pub(crate) struct Tried {
    pub(crate) attempt: Attempt,
    pub(crate) provider: String,
}

/// Tries to send one letter: by the first provider that is set up and does not say that another should.
pub(crate) async fn send(outbound: &Outbound, env: Environment<'_>, dispatch: &Dispatch<'_>) -> Tried {
    let mut last = None;
    for provider in outbound.plan() {
        let summary = provider.summary(env);
        let name = provider.provider.clone();
        if !summary.configured {
            let missing = summary.missing.join(", ");
            let why = format!("missing: {missing}; {}", summary.setup_hint);
            // What another provider said outweighs that this one is not set up.
            last.get_or_insert(Tried { attempt: Attempt::Unconfigured(why), provider: name });
            continue;
        }
        match Box::pin(attempt(provider, env, dispatch)).await {
            Attempt::Reroute(failure) => {
                tracing::warn!(letter.id = %dispatch.id, "{name} leaves {} to another: {}", dispatch.id, failure.text);
                last = Some(Tried { attempt: Attempt::Permanent(failure), provider: name });
            }
            attempt => return Tried { attempt, provider: name },
        }
    }
    last.unwrap_or_else(|| Tried {
        attempt: Attempt::Unconfigured("missing: provider".to_owned()),
        provider: String::new(),
    })
}

async fn attempt(provider: &Outbound, env: Environment<'_>, dispatch: &Dispatch<'_>) -> Attempt {
    match provider.kind() {
        Some(Provider::Smtp) => smtp::send(provider, provider.password(env), dispatch).await,
        Some(Provider::CloudflareWorker) => worker::send(provider, env, dispatch).await,
        Some(Provider::CloudflareEmailApi) => cloudflare_api::send(provider, env, dispatch).await,
        Some(Provider::ResendApi) => resend::send(provider, env, dispatch).await,
        Some(Provider::Sendmail) => sendmail::send(provider, dispatch).await,
        Some(Provider::File) => file::send(provider, dispatch).await,
        None => Attempt::Unconfigured(format!("the provider {} is not known", provider.provider)),
    }
}
