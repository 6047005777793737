//! `cargo bench -p remotelab-server`: what a page of a long list costs, beside the whole list.

#![expect(clippy::print_stdout, reason = "figures are for a terminal")]

use std::time::{Duration, Instant};

use anyhow::Context as _;
use remotelab_config::auth::Auth;
use remotelab_config::chat::Settings;
use remotelab_config::{Env, InstancePaths};
use remotelab_protocol::event::Message;
use remotelab_protocol::{Event, Role, Session};
use remotelab_server::Server;
use remotelab_store::{Inserted, Store};
use reqwest::header::{COOKIE, SET_COOKIE};

const SESSIONS: usize = 10_000;
const EVENTS: usize = 10_000;
const ROUNDS: usize = 50;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let paths = InstancePaths::below(root.path());
    std::fs::create_dir_all(paths.config())?;
    let auth = Auth::load_or_create(&paths.auth())?;
    let filled = paths.clone();
    let long = tokio::task::spawn_blocking(move || fill(&filled)).await??;

    let env = Env::default();
    let mut settings = Settings::from_env(&env, root.path());
    (settings.port, settings.paths, settings.secure_cookies) = (0, paths, false);
    let server = Server::start(settings, env, "/bin/true".into(), std::future::pending()).await?;
    let base = format!("http://{}", server.address());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
    let signed_in = client.get(format!("{base}/?token={}", auth.token.reveal())).send().await?;
    let cookie = signed_in.headers().get(SET_COOKIE).context("no cookie")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();

    println!("| Figure | p50 | p99 | Bytes |\n|---|---|---|---|");
    let list = format!("{base}/api/sessions");
    let events = format!("{base}/api/sessions/{long}/events?filter=all");
    for (figure, url) in [
        ("list of 10,000 sessions, first page of 50", format!("{list}?limit=50")),
        ("list of 10,000 sessions, whole", list),
        ("10,000 events, last page of 50", format!("{events}&limit=50")),
        ("10,000 events, after the last but 10", format!("{events}&afterSeq={}", EVENTS - 10)),
        ("10,000 events, last folded page of 50", format!("{base}/api/sessions/{long}/events?limit=50")),
        ("10,000 events, whole", events),
    ] {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let answer = client.get(&url).header(COOKIE, &cookie).send().await?;
            anyhow::ensure!(answer.status().is_success(), "{url}: {}", answer.status());
            bytes = answer.bytes().await?.len();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        println!("| {figure} | {} | {} | {bytes} |", millis(times[ROUNDS / 2]), millis(times[ROUNDS - 1]));
    }
    Ok(())
}

/// Makes the sessions; the one that is returned has the events.
fn fill(paths: &InstancePaths) -> anyhow::Result<String> {
    let store = Store::open(paths)?.0;
    let mut commits = Vec::new();
    for number in 0..SESSIONS {
        let session = Session {
            name: format!("March sales cleanup {number}"),
            description: Some("A session as connectors make them, with a line about it".into()),
            external_trigger_id: Some(format!("github:owner/repo#{number}")),
            system_prompt: Some("Be brief. ".repeat(600)),
            ..Session::new(
                "/home/owner/work".into(),
                "codex".into(),
                &format!("2026-11-22T07:26:{number:07}Z"),
            )
        };
        let (cell, inserted) = store.find_or_insert(session);
        if let Inserted::New(commit) = inserted {
            commits.push(commit);
        }
        if number == SESSIONS / 2 {
            let event = |n: usize| {
                let role = if n.is_multiple_of(20) { Role::User } else { Role::Assistant };
                Event::message(
                    role,
                    Message { content: format!("line {n} of the talk"), ..Message::default() },
                    1,
                )
            };
            commits.push(
                cell.change(|draft| {
                    for n in 0..EVENTS {
                        draft.append(event(n));
                    }
                })
                .1,
            );
        }
    }
    let long = store.sessions().into_iter().find(|cell| cell.with(|state| state.meta.latest_seq > 0));
    commits.into_iter().try_for_each(remotelab_store::Commit::wait)?;
    store.close()?;
    Ok(long.context("no session")?.id().to_string())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
