//! A task handed over, done by a real executor, and the answer read.

use std::time::Duration;

use remotelab_tests::executors::Login;
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::world::World;
use serde_json::Value;

#[tokio::test]
async fn codex_does_a_task_and_remembers_it() -> anyhow::Result<()> {
    a_task_and_the_next("codex").await
}

#[tokio::test]
async fn claude_does_a_task_and_remembers_it() -> anyhow::Result<()> {
    a_task_and_the_next("claude").await
}

async fn a_task_and_the_next(tool: &str) -> anyhow::Result<()> {
    let world = World::new().await?;
    world.model().script(
        Script::new()
            .when_text(
                "add the numbers",
                [
                    Step::reasoning("Two numbers"),
                    Step::shell("echo sum-$((40+2))"),
                    Step::text("The sum is **42**"),
                ],
            )
            .when_text("what was it", [Step::text("It was 42")]),
    );
    let mut up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session(tool).await?;

    assert_eq!(owner.ask(&session, "please add the numbers").await?, "The sum is **42**");

    let events = owner.events(&session).await?;
    let of_kind =
        |kind: &str| -> Vec<&Value> { events.iter().filter(|event| event["type"] == kind).collect() };
    let result = of_kind("tool_result");
    assert_eq!(result.len(), 1, "{events:#?}");
    let output = result[0]["output"].as_str().unwrap_or_default();
    assert_eq!(output.trim_end(), "sum-42");
    assert_eq!(result[0]["exitCode"], 0);
    assert_eq!(of_kind("tool_use").len(), 1, "{events:#?}");
    assert_eq!(of_kind("reasoning").len(), 1, "{events:#?}");

    assert_eq!(owner.ask(&session, "and what was it?").await?, "It was 42");
    let requests = world.model().requests();
    let second = requests.iter().find(|request| request.user_text == "and what was it?");
    let second = second.map(|request| request.body.to_string()).unwrap_or_default();
    assert!(second.contains("The sum is **42**"), "the thread was not resumed: {second}");

    let ended = up.stop(Duration::from_secs(5)).await?;
    assert!(ended.success(), "{ended}");
    Ok(())
}

#[tokio::test]
async fn an_executor_without_a_key_fails_in_words() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    world.link_executors(Login::Out)?;
    let _up = world.up().await?;
    let owner = world.owner().await?;
    let session = owner.open_session("claude").await?;

    let posted = owner.say(&session, "one", "hello").await?;
    let run = owner.finished(&posted.run.unwrap_or_default()).await?;

    assert_eq!(run["state"], "failed");
    let reason = run["failureReason"].as_str().unwrap_or_default();
    assert!(reason.to_lowercase().contains("log"), "{run:#}");
    Ok(())
}

#[tokio::test]
async fn a_guest_is_the_same_house_with_another_key() -> anyhow::Result<()> {
    let world = World::new().await?;
    let _up = world.up().await?;

    let create = || world.run(&["guest-instance", "create-trial", "--json"]);
    let (one, two) = tokio::try_join!(create(), create())?;
    assert_eq!((one.code, two.code), (Some(0), Some(0)), "{one:?} {two:?}");

    for name in ["trial1", "trial2"] {
        world.admit_executors(name).await?;
        let guest = world.guest_owner(name).await?;
        let session = guest.open_session("codex").await?;
        assert_eq!(guest.ask(&session, "good morning").await?, "You said: good morning");
        assert!(world.guest(name).join("config/chat-history").is_dir());
    }
    assert_ne!(world.guest_token("trial1")?, world.guest_token("trial2")?);
    assert_ne!(world.guest_token("trial1")?, world.owner_token()?);

    // The key of one does not open the other.
    let wrong = format!("{}/trial2/?token={}", world.gateway_url(), world.guest_token("trial1")?);
    let answer = remotelab_tests::http::send(remotelab_tests::http::client().get(wrong)).await?;
    assert_eq!(answer.header("location"), Some("/trial2/login"));
    Ok(())
}
