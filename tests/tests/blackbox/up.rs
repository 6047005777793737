//! `remotelab up`: the first minute of a newcomer, and the ends of it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::world::World;

#[tokio::test]
async fn the_link_is_printed_within_two_seconds() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let began = Instant::now();
    let up = world.start(&["up"])?;

    let begin = format!("{}/?token=", world.owner_url());
    let token = up.line("the link", |line| {
        let at = line.find(&begin)? + begin.len();
        Some(line[at..].split_whitespace().next()?.to_owned())
    });
    let token = token.await?;

    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(token, world.owner_token()?);
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let file = world.config().join("auth.json");
    assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(world.config())?.permissions().mode() & 0o777, 0o700);
    Ok(())
}

#[tokio::test]
async fn with_nothing_installed_the_demo_answers() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("demo").await?;

    let reply = owner.ask(&session, "hello").await?;

    assert!(reply.contains("demo"), "{reply}");
    Ok(())
}

#[tokio::test]
async fn a_second_one_is_refused_and_the_first_goes_on() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;

    let second = world.run(&["up"]).await?;

    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("already"), "{second:?}");
    world.owner().await?.get("/api/sessions").await?;
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_started() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let gateway = world.ports().gateway;
    let _taken = TcpListener::bind(("127.0.0.1", gateway))?;

    let refused = world.run(&["up"]).await?;

    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&gateway.to_string()), "{refused:?}");
    assert_eq!(world.processes(), []);
    Ok(())
}

#[tokio::test]
async fn a_child_that_dies_is_replaced() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let up = world.up().await?;
    for (word, name) in [("chat", "the owner's chat server"), ("gateway", "the gateway")] {
        let old = world.processes_of(word);
        let pid = *old.first().with_context(|| format!("no process of {word}"))?;

        remotelab_tests::process::signal_to(pid, rustix::process::Signal::KILL)?;

        remotelab_tests::wait::eventually(format!("another {word}"), async || {
            let now = world.processes_of(word);
            Ok((!now.is_empty() && !now.contains(&pid)).then_some(()))
        })
        .await?;
        let word_of_it = format!("{name} stopped (signal: 9 (SIGKILL)); starts again in ");
        up.line("a word about it", |line| line.contains(&word_of_it).then_some(())).await?;
    }
    let answer = remotelab_tests::wait::eventually("the owner behind the gateway", async || {
        let url = format!("{}/owner/login", world.gateway_url());
        let answer = remotelab_tests::http::send(remotelab_tests::http::client().get(url)).await;
        Ok(answer.ok().filter(|answer| answer.status == 200))
    });
    answer.await?;
    Ok(())
}

#[tokio::test]
async fn a_run_goes_on_while_everything_else_is_stopped() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.model().script(
        Script::new()
            .when_text("take your time", [Step::text("first "), Step::hold("half"), Step::text("second")]),
    );
    let mut up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("codex").await?;
    let posted = owner.say(&session, "slow", "take your time").await?;
    let run = posted.run.context("the message was queued")?;
    world.model().held("half").await?;

    // As Ctrl-C does.
    up.signal(rustix::process::Signal::INT)?;
    let ended = up.ended(Duration::from_secs(5)).await?;
    assert!(ended.success(), "{ended}");
    assert_eq!(world.processes_of("runner").len(), 1);
    assert_eq!(world.processes_of("chat").len(), 0);
    world.model().release("half");
    let _up = world.up().await?;

    // The login lives on, too.
    let finished = owner.finished(&run).await?;
    assert_eq!(finished["state"], "completed", "{finished:#}");
    assert_eq!(owner.reply(&session, &run).await?, "first second");
    Ok(())
}
