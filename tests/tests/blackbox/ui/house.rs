//! A house with an executor that does what the words of a message say, at `/` and below `/trial1/`.

use std::fs;

use anyhow::Context as _;
use remotelab_tests::api::Client;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use remotelab_tests::process::Process;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use serde_json::json;

/// The executor's id.
pub(super) const HELPER: &str = "helper";

/// It waits at gates, which are files, so that a test sees every state as long as it likes.
const SCRIPT: &str = r#"#!/bin/sh
for last; do :; done
say() {
  printf '{"type":"assistant","message":{"content":[{"type":"text","text":"%s"}]}}\n' "$1"
  printf '{"type":"result","subtype":"success","is_error":false,"result":"%s"}\n' "$1"
}
gate() { until [ -e "$HOME/gate-$1" ]; do sleep 0.02; done; }
case "$last" in
*'You look at the last turn'*) gate check; say '{\"action\":\"accept\"}'; exit;;
*'Summarise a work session'*) gate summary; say '<summary>All of it.</summary><handoff>I kept all of it.</handoff>'; exit;;
esac
line=$(printf '%s' "$last" | tail -n 1)
case "$line" in
*slowly*) gate work; say "Done: $line";;
*badly*) echo 'error: the printer is on fire' >&2; exit 3;;
*wide*) say "$(cat "$HOME/wide")";;
*) say "Done: $line";;
esac
"#;

/// Everything is gone when it is dropped.
pub(super) struct House {
    pub(super) world: World,
    pub(super) up: Process,
}

/// Where a person is: the owner's address, or one below the gateway.
pub(super) struct Place {
    /// Without a slash at its end.
    pub(super) url: String,
    token: String,
}

impl House {
    pub(super) async fn open() -> anyhow::Result<Self> {
        Self::open_with(&[]).await
    }

    /// With variables for the owner's server.
    pub(super) async fn open_with(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut world = World::without_executors().await?;
        world.tool(HELPER, SCRIPT)?;
        for (name, value) in variables {
            world.set(name, *value);
        }
        let up = world.up().await?;
        let house = Self { world, up };
        house.owner().hire().await?;
        Ok(house)
    }

    /// The owner's, at the root of an origin.
    pub(super) fn owner(&self) -> Place {
        self.place(self.world.owner_url())
    }

    /// The owner's, through the gateway.
    pub(super) fn owner_below_the_gateway(&self) -> Place {
        self.place(format!("{}/owner", self.world.gateway_url()))
    }

    /// The owner's at the root, and a guest's below its name.
    pub(super) async fn places(&self) -> anyhow::Result<[Place; 2]> {
        eventually("a guest", async || {
            let created = self.world.run(&["guest-instance", "create-trial", "--json"]).await?;
            // Of two worlds that choose the same free port at once, one tries again.
            let taken = created.stderr.contains("Address already in use");
            anyhow::ensure!(taken || created.code == Some(0), "{created:?}");
            Ok((!taken).then_some(()))
        })
        .await?;
        // The helper waits at gates in the home folder, where a contained one would not be.
        let open = self.world.run(&["guest-instance", "limits", "trial1", "--contain", "off"]).await?;
        anyhow::ensure!(open.code == Some(0), "{open:?}");
        let token = self.world.guest_token("trial1")?;
        let guest = Place { url: format!("{}/trial1", self.world.gateway_url()), token };
        guest.hire().await?;
        Ok([self.owner(), guest])
    }

    /// Lets the executor go on.
    pub(super) fn open_gate(&self, name: &str) -> anyhow::Result<()> {
        fs::write(self.gate(name), "").with_context(|| format!("open the gate {name}"))
    }

    pub(super) fn close_gate(&self, name: &str) -> anyhow::Result<()> {
        fs::remove_file(self.gate(name)).with_context(|| format!("close the gate {name}"))
    }

    fn gate(&self, name: &str) -> std::path::PathBuf {
        self.world.home().join(format!("gate-{name}"))
    }

    fn place(&self, url: String) -> Place {
        Place { url, token: self.world.owner_token().unwrap_or_default() }
    }
}

impl Place {
    /// Signs a browser in; it then shows the field for a new task.
    pub(super) async fn enter(&self, browser: &Browser) -> anyhow::Result<()> {
        browser.goto(&format!("{}/?token={}", self.url, self.token)).await?;
        browser.see("#message").await?;
        Ok(())
    }

    /// Somebody who looks at the same from outside.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        Client::login(&self.url, &self.token).await
    }

    async fn hire(&self) -> anyhow::Result<()> {
        let tool = json!({"name": "Helper", "command": HELPER, "runtimeFamily": "claude-stream-json",
            "models": [{"id": "quick", "label": "Quick"}, {"id": "deep", "label": "Deep"}]});
        self.client().await?.post("/api/tools", &tool).await?;
        Ok(())
    }
}

pub(super) async fn desktop() -> anyhow::Result<Browser> {
    Browser::open(Screen::Desktop, Scheme::Light).await
}

/// Chooses the executor, writes a message and sends it.
pub(super) async fn send(browser: &Browser, words: &str) -> anyhow::Result<()> {
    choose_helper(browser).await?;
    browser.type_into("#message", words).await?;
    browser.click(".composer button.send").await
}

pub(super) async fn choose_helper(browser: &Browser) -> anyhow::Result<()> {
    let choose = "const tool = document.querySelector('select[name=tool]'); tool.value = 'helper'; \
                  tool.dispatchEvent(new Event('change', {bubbles: true})); return tool.value";
    anyhow::ensure!(browser.eval(choose).await? == HELPER, "the executor is not offered");
    Ok(())
}

/// Begins a task and waits until its session is open.
pub(super) async fn begin(browser: &Browser, words: &str) -> anyhow::Result<String> {
    send(browser, words).await?;
    open_session(browser).await
}

/// The id of the session that is open, once one is.
pub(super) async fn open_session(browser: &Browser) -> anyhow::Result<String> {
    eventually("an open session", async || {
        let id = browser
            .eval("return document.querySelector('rl-session')?.dataset.session && location.pathname")
            .await?;
        Ok(id.as_str().and_then(|path| path.split("/s/").nth(1)).map(str::to_owned))
    })
    .await
}

/// How many elements there are.
pub(super) async fn count(browser: &Browser, css: &str) -> anyhow::Result<u64> {
    let found = browser.eval(&format!("return document.querySelectorAll({css:?}).length")).await?;
    found.as_u64().context("a number")
}

/// Waits until an expression is true. One about something that is not there yet is not.
pub(super) async fn until(browser: &Browser, condition: &str) -> anyhow::Result<()> {
    let script = format!("try {{ return {condition} }} catch {{ return false }}");
    eventually(condition, async || Ok((browser.eval(&script).await? == true).then_some(()))).await
}

/// Nothing failed and nothing was refused, apart from what the test did on purpose.
pub(super) async fn no_errors(browser: &Browser) -> anyhow::Result<()> {
    let errors = browser.console_errors().await?;
    anyhow::ensure!(errors.is_empty(), "{errors:?}");
    anyhow::ensure!(!browser.scrolls_sideways().await?, "it scrolls sideways");
    Ok(())
}
