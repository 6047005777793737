//! `cargo xtask bench`: what the release build does, beside nginx in the same run.
//!
//! Bare times say more about the machine than about the program, so wherever there is a peer the
//! ratio to it is printed.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]

mod chat;
mod gateway;
mod growth;
mod instance;
mod mail;
mod memory;
mod nginx;
mod operator;
mod peer;
mod wake;
mod wrk;

use std::time::Duration;

/// Figure and value, in the order in which they were measured.
#[derive(Default)]
struct Figures(Vec<(String, String)>);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    peer::Peer::serve_if_told().await?;
    gateway::bare::Bare::serve_if_told().await?;
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
    // A word on the command line chooses one of them.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("boot") {
        chat::boot_and_memory(figures).await?;
    }
    if is_wanted("message") {
        instance::message_acknowledged(figures).await?;
    }
    if is_wanted("run") {
        chat::own_time(figures).await?;
    }
    if is_wanted("crowd") {
        chat::crowd(figures).await?;
    }
    if is_wanted("growth") {
        growth::one_more_message(figures).await?;
    }
    if is_wanted("sockets") {
        chat::sockets(figures).await?;
    }
    if is_wanted("trial") {
        instance::trial_reachable(figures).await?;
    }
    if is_wanted("operator") {
        operator::lists(figures).await?;
        operator::converge(figures).await?;
    }
    if is_wanted("memory") {
        memory::idle(figures).await?;
    }
    if is_wanted("mail") {
        mail::taken_in(figures).await?;
        mail::large(figures).await?;
    }
    if is_wanted("gateway") {
        gateway::throughput_and_latency(figures).await?;
    }
    if is_wanted("wake") {
        wake::asleep_to_answer(figures).await?;
        wake::upgrade(figures).await?;
    }
    Ok(())
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
