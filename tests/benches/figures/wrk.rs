//! `wrk`, the load.

use std::process::Command;

use anyhow::Context as _;
use remotelab_tests::process;

/// What one round measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Loads `url` for some seconds over `connections`, from the core that the subject does not have.
pub(crate) async fn round(url: &str, connections: u32, seconds: u32) -> anyhow::Result<Round> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "--latency", "-t1"]);
    command.arg(format!("-c{connections}")).arg(format!("-d{seconds}s")).arg(url);
    let output = process::run(command).await?;
    read(&output.stdout).with_context(|| format!("read what wrk says of {url}: {output:?}"))
}

fn read(report: &str) -> anyhow::Result<Round> {
    anyhow::ensure!(!report.contains("Non-2xx"), "some answers were no 2xx");
    let word = |before: &str| {
        let line = report.lines().map(str::trim).find(|line| line.starts_with(before));
        line.and_then(|line| line.split_whitespace().nth(1)).with_context(|| format!("no line {before}"))
    };
    let total = report.lines().find(|line| line.contains(" requests in ")).unwrap_or_default();
    Ok(Round {
        requests: total
            .split_whitespace()
            .next()
            .context("how many requests")?
            .parse()
            .context("requests")?,
        bytes_per_second: bytes(word("Transfer/sec:")?)?,
        requests_per_second: word("Requests/sec:")?.parse().context("requests per second")?,
        p50_us: microseconds(word("50%")?)?,
        p99_us: microseconds(word("99%")?)?,
    })
}

fn microseconds(text: &str) -> anyhow::Result<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        unit => anyhow::bail!("unknown unit {unit}"),
    };
    let number: f64 = digits.parse().with_context(|| format!("read {text}"))?;
    Ok(number * scale)
}

fn bytes(text: &str) -> anyhow::Result<f64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[digits.len()..] {
        "B" => 1.0,
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        unit => anyhow::bail!("unknown unit {unit}"),
    };
    let number: f64 = digits.parse().with_context(|| format!("read {text}"))?;
    Ok(number * scale)
}
