//! Ways out of the house: one per provider, chosen by `outbound.json` at each attempt.

mod smtp;

use std::pin::Pin;

use crate::letter::Letter;
use crate::settings::Outbound;
use crate::state::Attempt;

/// A letter with everything an attempt needs.
pub(crate) struct Dispatch<'a> {
    pub(crate) letter: &'a Letter,
    pub(crate) unix_seconds: u64,
    /// Awaited right before the text goes out, and not before: from then on the outcome of a broken
    /// connection is unknown. `false` stops the attempt.
    pub(crate) before_text: Pin<Box<dyn Future<Output = bool> + Send>>,
}

/// Tries to send one letter.
pub(crate) async fn send(
    outbound: &Outbound,
    env: &(dyn Fn(&str) -> Option<String> + Send + Sync),
    dispatch: Dispatch<'_>,
) -> Attempt {
    let summary = outbound.summary(env);
    if !summary.configured {
        let missing = summary.missing.join(", ");
        return Attempt::Unconfigured(format!("missing: {missing}; {}", summary.setup_hint));
    }
    match outbound.provider.as_str() {
        "smtp" => smtp::send(outbound, outbound.password(env), dispatch).await,
        other => Attempt::Unconfigured(format!("the provider {other} is not supported yet")),
    }
}
