//! The mailbox: how fast mail is durable, also when much is there already, and what a large one costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use remotelab_tests::mail::Names;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;

use crate::{Figures, memory, spread};

const BEARER: &str = "a-token-for-the-bridge-of-this-bench";
/// Deliveries at the same time.
const AT_ONCE: usize = 32;
/// Mails of the crowd, and how many are timed alone before and after it.
const CROWD: usize = 3_000;
const ALONE: usize = 200;
/// The size of a large mail in bytes, its file in base64.
const LARGE: usize = 25_000_000;

/// From the first byte sent to the 200, which promises that raw bytes and row are on disk.
pub(crate) async fn taken_in(figures: &mut Figures) -> anyhow::Result<()> {
    let office = Office::open(false).await?;
    let mut empty = Vec::new();
    for n in 0..ALONE {
        empty.push(office.deliver(&mail(&format!("first-{n}"), "Hi")).await?);
    }
    let began = Instant::now();
    let deliveries = stream::iter(0..CROWD)
        .map(|n| {
            let office = &office;
            async move { office.deliver(&mail(&format!("crowd-{n}"), "Hi")).await }
        })
        .buffer_unordered(AT_ONCE);
    let crowd: Vec<Duration> = deliveries.try_collect().await?;
    let rate = CROWD as f64 / began.elapsed().as_secs_f64();
    let mut full = Vec::new();
    for n in 0..ALONE {
        full.push(office.deliver(&mail(&format!("last-{n}"), "Hi")).await?);
    }
    figures.add("mail durable, one after the other, few stored", spread(empty));
    figures.add(format!("mail durable, {AT_ONCE} at once"), format!("{rate:.0} a second; {}", spread(crowd)));
    figures.add(format!("mail durable, one after the other, {} stored", CROWD + ALONE), spread(full));
    Ok(())
}

/// A mail with a file of 18 MB: taken in, read and handed over to the session.
pub(crate) async fn large(figures: &mut Figures) -> anyhow::Result<()> {
    let office = Office::open(true).await?;
    let pid = office.pid()?;
    office.deliver(&mail("small", "Hi")).await?;
    let idle = memory::mib(pid, "Rss:")?;
    // From here on the highest counts.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("forget the highest memory")?;
    let line = format!("{}\r\n", "A".repeat(76));
    let file = line.repeat(LARGE / line.len());
    let boundary = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the file\r\n--b\r\n\
        Content-Type: application/pdf; name=large.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let raw = format!("{}{boundary}{file}--b--\r\n", header("large"));
    let took = office.deliver(&raw).await?;
    eventually("both mails are handed over", async || {
        let listed = office.world.run(&["mail", "list"]).await?;
        Ok((listed.stdout.matches("\"no_reply\"").count() == 2).then_some(()))
    })
    .await?;
    let peak = peak(pid)?;
    figures.add(
        "a mail of 25 MB",
        format!(
            "durable after {:.0} ms; {:.1} MiB over the {idle:.1} MiB of an idle mailbox",
            took.as_secs_f64() * 1e3,
            peak - idle
        ),
    );
    Ok(())
}

fn peak(pid: u32) -> anyhow::Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no highest memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("read the number")?;
    Ok(kib / 1024.0)
}

fn header(id: &str) -> String {
    format!(
        "From: Ada <ada@example.net>\r\nTo: rowan@example.com\r\nSubject: {id}\r\nMIME-Version: 1.0\r\n\
         Message-ID: <{id}@example.net>\r\nDate: Sun, 22 Nov 2026 07:26:39 +0000\r\n"
    )
}

fn mail(id: &str, text: &str) -> String {
    format!("{}\r\n{text}\r\n", header(id))
}

/// A house with the owner's mailbox, which answers nothing by mail.
struct Office {
    client: reqwest::Client,
    names: Names,
    _up: remotelab_tests::process::Process,
    world: World,
}

impl Office {
    /// `works`: what Ada writes runs at once; otherwise it waits for review.
    async fn open(works: bool) -> anyhow::Result<Self> {
        let mut world = World::without_executors().await?;
        let names = Names::of(&["example.net"]);
        world.set("REMOTELAB_MAIL_RESOLVER", names.address());
        world.set("AGENT_MAILBOX_CLOUDFLARE_WEBHOOK_TOKEN", BEARER);
        let up = world.up().await?;
        let init = ["mail", "init", "--name", "Rowan", "--local-part", "rowan", "--domain", "example.com"];
        for words in [
            &[&init[..], &["--allow", "ada@example.net"]].concat()[..],
            &["mail", "automation", "configure", "--delivery-mode", "session_only"],
            &[
                "mail",
                "automation",
                "configure",
                "--allowlist-auto-approve",
                if works { "true" } else { "false" },
            ],
        ] {
            let done = world.run(words).await?;
            anyhow::ensure!(done.code == Some(0), "{words:?}: {done:?}");
        }
        let client = reqwest::Client::builder().no_proxy().build().context("make a client")?;
        Ok(Self { client, names, _up: up, world })
    }

    fn pid(&self) -> anyhow::Result<u32> {
        let is_mail = |words: &[String]| words.iter().skip(1).any(|word| word == "mail");
        let found = self.world.processes().into_iter().find(|found| is_mail(&found.words));
        Ok(found.context("no mailbox runs")?.pid)
    }

    async fn deliver(&self, raw: &str) -> anyhow::Result<Duration> {
        let call = self
            .client
            .post(format!("{}/cloudflare-email/webhook", self.world.mailbox_url()))
            .bearer_auth(BEARER)
            .header("content-type", "message/rfc822")
            .header("x-envelope-from", "ada@example.net")
            .header("x-envelope-to", "rowan@example.com")
            .body(self.names.signed("example.net", raw));
        let began = Instant::now();
        let answer = call.send().await.context("deliver")?;
        let status = answer.status();
        let text = answer.text().await.context("read the answer")?;
        anyhow::ensure!(status == 200, "{status}: {text}");
        Ok(began.elapsed())
    }
}
