//! `cargo xtask bench`: what the release build does, beside nginx in the same run.
//!
//! Bare times say more about the machine than about the program, so wherever there is a peer the
//! ratio to it is printed.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]

mod gateway;
mod instance;
mod memory;
mod nginx;
mod wrk;

use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    println!("| Figure | Value |");
    println!("|---|---|");
    instance::boot().await?;
    instance::message_acknowledged().await?;
    instance::trial_reachable().await?;
    memory::idle().await?;
    gateway::throughput_and_latency().await
}

fn show(figure: &str, value: &str) {
    println!("| {figure} | {value} |");
}

/// The middle and the 99th of a hundred.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, {} times",
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        times.len()
    )
}
