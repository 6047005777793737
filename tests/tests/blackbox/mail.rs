//! The same without a browser: a mail in, the answer by mail.

use anyhow::{Context as _, ensure};
use remotelab_tests::http::{self, Answer};
use remotelab_tests::mail::Names;
use remotelab_tests::process::Process;
use remotelab_tests::smtp::SmtpServer;
use remotelab_tests::wait;
use remotelab_tests::world::World;
use serde_json::{Value, json};

const BEARER: &str = "a-token-for-the-bridge-of-this-test";

#[tokio::test]
async fn a_mail_to_a_guest_is_answered_by_mail() -> anyhow::Result<()> {
    let office = Office::open().await?;

    let answer = office
        .post("ada@example.net", "rowan+trial1@example.com", &mail("<one@example.net>", "", "What is new?"))
        .await?;
    assert_eq!(answer.status, 200, "{}", answer.text);

    let replies = office.smtp.received(1).await?;
    let reply = &replies[0];
    assert_eq!(reply.to, ["ada@example.net"]);
    assert_eq!(reply.header("in-reply-to").as_deref(), Some("<one@example.net>"));
    let references = reply.header("references").unwrap_or_default();
    assert!(references.contains("<one@example.net>"), "{references}");
    assert!(reply.text().contains("You said: What is new?"), "{}", reply.text());

    // It is in a session of the guest, not of the owner.
    assert_eq!(office.mail_sessions("trial1").await?.len(), 1);
    assert_eq!(office.owner_mail_sessions().await?.len(), 0);

    // It was handed over with a token for that alone.
    let listed = office.world.run(&["token", "list", "--json", "--instance", "trial1"]).await?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!((&listed["tokens"][0]["name"], &listed["tokens"][1]), (&json!("mail"), &Value::Null));
    assert!(listed["tokens"][0]["lastUsed"].is_string(), "{listed}");
    Ok(())
}

#[tokio::test]
async fn the_same_thread_is_the_same_session_and_the_same_mail_one_message() -> anyhow::Result<()> {
    let office = Office::open().await?;
    let first = mail("<one@example.net>", "", "First");
    let second = mail("<two@example.net>", "<one@example.net>", "Second");

    for raw in [&first, &first, &second] {
        let answer = office.post("ada@example.net", "rowan+trial1@example.com", raw).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    let replies = office.smtp.received(2).await?;
    assert_eq!(replies.len(), 2);
    assert_eq!(office.mail_sessions("trial1").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn strangers_wait_and_unknown_recipients_are_refused() -> anyhow::Result<()> {
    let office = Office::open().await?;
    let raw = mail("<x@example.org>", "", "Buy now").replace("ada@example.net", "eve@example.org");

    let stranger = office.post("eve@example.org", "rowan+trial1@example.com", &raw).await?;
    assert_eq!(stranger.status, 200, "{}", stranger.text);
    assert_eq!(office.mail_sessions("trial1").await?.len(), 0);

    let raw = mail("<y@example.net>", "", "Anybody there?");
    let nobody = office.post("ada@example.net", "rowan+trial99@example.com", &raw).await?;
    assert_eq!(nobody.status, 403, "{}", nobody.text);

    let unsigned = http::client()
        .post(format!("{}/cloudflare-email/webhook", office.world.mailbox_url()))
        .json(&json!({}));
    assert_eq!(http::send(unsigned).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn an_answer_for_a_target_that_a_connector_names_goes_out_as_mail() -> anyhow::Result<()> {
    let office = Office::open().await?;
    let guest = office.world.guest_owner("trial1").await?;
    let (known, stranger) = ("ada@example.net", "eve@example.org");
    let targets = json!([{"id": "known", "type": "email", "to": known, "inReplyTo": "<r@example.net>"},
        {"id": "stranger", "type": "email", "to": stranger}]);
    let session = guest
        .open_session_with(json!({"folder": "~", "tool": "codex", "completionTargets": targets}))
        .await?;
    let posted = guest.say(&session, "r-1", "Write the report.").await?;

    let letters = office.smtp.received(1).await?;
    let letter = &letters[0];
    assert_eq!(letter.to, [known]);
    assert_eq!(letter.header("in-reply-to").as_deref(), Some("<r@example.net>"));
    let from = letter.header("from").unwrap_or_default();
    assert!(from.ends_with("<rowan+trial1@example.com>"), "{from}");
    assert!(letter.text().contains("You said: Write the report."), "{}", letter.text());

    let held = office.world.run(&["mail", "outbox", "held"]).await?;
    let held: Value = serde_json::from_str(&held.stdout)?;
    assert_eq!(held[0]["to"], json!([stranger]), "{held}");
    let released = office.world.run(&["mail", "release", held[0]["id"].as_str().context("no id")?]).await?;
    ensure!(released.code == Some(0), "{released:?}");
    assert_eq!(office.smtp.received(2).await?[1].to, [stranger]);

    let run = posted.run.context("no run")?;
    let states = wait::eventually("both are reported", async || {
        let states = guest.run(&run).await?["completionTargets"].clone();
        let done = ["known", "stranger"].iter().all(|target| states[*target]["state"] == "sent");
        Ok(done.then_some(states))
    })
    .await?;
    assert_eq!(states["known"]["delivery"]["provider"], "smtp");
    Ok(())
}

fn mail(id: &str, in_reply_to: &str, text: &str) -> String {
    let thread = if in_reply_to.is_empty() {
        String::new()
    } else {
        format!("In-Reply-To: {in_reply_to}\r\nReferences: {in_reply_to}\r\n")
    };
    format!(
        "From: Ada <ada@example.net>\r\nTo: rowan+trial1@example.com\r\nSubject: News\r\n\
         Message-ID: {id}\r\n{thread}Date: Sun, 22 Nov 2026 07:26:39 +0000\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
}

/// A house with one guest, its mailbox and an outgoing mail server.
struct Office {
    smtp: SmtpServer,
    names: Names,
    _up: Process,
    world: World,
}

impl Office {
    async fn open() -> anyhow::Result<Self> {
        let mut world = World::new().await?;
        let names = Names::of(&["example.net"]);
        world.set("REMOTELAB_MAIL_RESOLVER", names.address());
        world.set("AGENT_MAILBOX_CLOUDFLARE_WEBHOOK_TOKEN", BEARER);
        let smtp = SmtpServer::start()?;
        let port = smtp.port().to_string();
        let up = world.up().await?;
        for words in [
            &["guest-instance", "create-trial", "--json"][..],
            &[
                "mail",
                "init",
                "--name",
                "Rowan",
                "--local-part",
                "rowan",
                "--domain",
                "example.com",
                "--allow",
                "ada@example.net",
            ],
            &["mail", "automation", "configure", "--allowlist-auto-approve", "true"],
            &[
                "mail",
                "outbound",
                "configure-smtp",
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--security",
                "none",
            ],
        ] {
            let done = world.run(words).await?;
            ensure!(done.code == Some(0), "{words:?}: {done:?}");
        }
        world.admit_executors("trial1").await?;
        Ok(Self { smtp, names, _up: up, world })
    }

    async fn post(&self, from: &str, to: &str, raw: &str) -> anyhow::Result<Answer> {
        let request = http::client()
            .post(format!("{}/cloudflare-email/webhook", self.world.mailbox_url()))
            .bearer_auth(BEARER)
            .header("content-type", "message/rfc822")
            .header("x-envelope-from", from)
            .header("x-envelope-to", to)
            .body(self.names.signed("example.net", raw));
        http::send(request).await
    }

    async fn mail_sessions(&self, guest: &str) -> anyhow::Result<Vec<Value>> {
        let guest = self.world.guest_owner(guest).await?;
        from_mail(&guest.get("/api/sessions").await?)
    }

    async fn owner_mail_sessions(&self) -> anyhow::Result<Vec<Value>> {
        from_mail(&self.world.owner().await?.get("/api/sessions").await?)
    }
}

fn from_mail(list: &Value) -> anyhow::Result<Vec<Value>> {
    let sessions = list["sessions"].as_array().context("no list of sessions")?;
    let is_mail = |session: &&Value| {
        let trigger = session["externalTriggerId"].as_str().unwrap_or_default();
        trigger.starts_with("email-thread:")
    };
    Ok(sessions.iter().filter(is_mail).cloned().collect())
}
