//! The asynchronous runtime of the commands that serve.

use std::thread::available_parallelism;

use anyhow::Context;

/// Runs a future to its end on a few threads: an instance is idle most of the time, and each thread
/// costs memory.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let workers = available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(future);
    // Blocking work that is still going on has nobody to report to.
    runtime.shutdown_background();
    outcome
}

/// Chooses ring for TLS in this process.
pub(crate) fn enable_tls() {
    // Only fails when it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
