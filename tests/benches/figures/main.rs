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

/// Figure and value, in the order in which they were measured.
#[derive(Default)]
struct Figures(Vec<(String, String)>);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let done = measure(&mut figures).await;
    // At the end, because what the processes said stands above it; also when one of them failed.
    println!("\n| Figure | Value |\n|---|---|");
    for (figure, value) in &figures.0 {
        println!("| {figure} | {value} |");
    }
    done
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    instance::boot(figures).await?;
    instance::message_acknowledged(figures).await?;
    instance::trial_reachable(figures).await?;
    memory::idle(figures).await?;
    gateway::throughput_and_latency(figures).await
}

impl Figures {
    fn add(&mut self, figure: impl Into<String>, value: impl Into<String>) {
        self.0.push((figure.into(), value.into()));
    }
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
