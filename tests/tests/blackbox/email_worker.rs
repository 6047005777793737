//! Mail through the Email Worker, in its own runtime: in, to a guest, and the answer out.

use anyhow::{Context as _, ensure};
use remotelab_tests::email_worker::EmailWorker;
use remotelab_tests::mail::Names;
use remotelab_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn a_mail_comes_in_by_the_worker_and_its_answer_leaves_by_it() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let names = Names::of(&["example.net"]);
    world.set("REMOTELAB_MAIL_RESOLVER", names.address());
    world.set("WORKER_TOKEN", "a-token-for-sending");
    let _up = world.up().await?;
    let init =
        ["mail", "init", "--name", "Rowan", "--local-part", "rowan", "--domain", "example.com", "--allow"];
    for words in [
        &["guest-instance", "create-trial", "--json"][..],
        &[&init[..], &["ada@example.net"]].concat(),
        &["mail", "automation", "configure", "--allowlist-auto-approve", "true"],
    ] {
        let done = world.run(words).await?;
        ensure!(done.code == Some(0), "{words:?}: {done:?}");
    }
    world.admit_executors("trial1").await?;
    let settings =
        std::fs::read(world.config().join("agent-mailbox/bridge.json")).context("read the settings")?;
    let settings: Value = serde_json::from_slice(&settings)?;
    let bindings = json!({
        "MAILBOX_FROM": "rowan@example.com",
        "MAILBOX_BRIDGE_URL": format!("{}/cloudflare-email/webhook", world.mailbox_url()),
        "MAILBOX_SIGNING_KEY": settings["signingKeys"][0]["key"],
        "OUTBOUND_API_TOKEN": "a-token-for-sending",
    });
    let worker = EmailWorker::start(&world, &bindings).await?;
    let configure = ["mail", "outbound", "configure-cloudflare-worker", "--worker-base-url", &worker.url];
    let done = world.run(&[&configure[..], &["--worker-token-env", "WORKER_TOKEN"]].concat()).await?;
    ensure!(done.code == Some(0), "{done:?}");

    let mail = |id: &str| {
        let mail = format!(
            "From: Ada <ada@example.net>\r\nTo: rowan+trial1@example.com\r\nSubject: News\r\n\
             Message-ID: <{id}@example.net>\r\n\r\nWhat is new?\r\n"
        );
        names.signed("example.net", &mail)
    };
    // The test's own runtime says of a mail that was refused what its sender would hear.
    let nobody = worker.receive("ada@example.net", "rowan+nobody@example.com", &mail("zero")).await?;
    ensure!(nobody.text.contains("550 5.1.1"), "{} {}", nobody.status, nobody.text);
    let taken = worker.receive("ada@example.net", "rowan+trial1@example.com", &mail("one")).await?;
    ensure!(taken.status == 200, "{} {}", taken.status, taken.text);

    let letter = worker.sent().await?;
    for part in [
        "From: =?utf-8?B?",
        "<rowan+trial1@example.com>",
        "To: ada@example.net",
        "In-Reply-To: <one@example.net>",
        "Auto-Submitted: auto-replied",
        "Subject: Re: News",
        "Reply-To: rowan+trial1.r-",
        "multipart/alternative",
    ] {
        ensure!(letter.contains(part), "no {part} in {letter}");
    }
    let shown = world.run(&["mail", "list", "approved"]).await?;
    ensure!(shown.stdout.contains("\"reply_sent\""), "{}", shown.stdout);
    Ok(())
}
