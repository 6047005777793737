//! Guests' runs are kept to their guest, and the real executors work all the same.

use std::fs;

use anyhow::{Context as _, ensure};
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::world::World;
use serde_json::json;

#[tokio::test]
async fn codex_works_in_a_guest_and_sees_nobody_else() -> anyhow::Result<()> {
    a_contained_run("codex", "auto").await?;
    a_contained_run("codex", "never").await
}

#[tokio::test]
async fn claude_works_in_a_guest_and_sees_nobody_else() -> anyhow::Result<()> {
    a_contained_run("claude", "auto").await?;
    a_contained_run("claude", "never").await
}

/// With namespaces where there are any, and by the kernel's Landlock alone.
async fn a_contained_run(tool: &str, isolation: &str) -> anyhow::Result<()> {
    let world = World::new().await?;
    let secret = world.config().join("auth.json");
    let look =
        format!("cat '{0}' > got.txt 2>/dev/null; cat '{0}' 2>/dev/null || echo closed", secret.display());
    let show = "\"$REMOTELAB_BIN\" api GET /api/sessions/$REMOTELAB_SESSION_ID --field session.id > id.txt 2>&1; echo $HOME > home.txt";
    world.model().script(Script::new().when_text(
        "do the work",
        [
            Step::shell(&look),
            Step::shell(show),
            Step::shell("echo made > \"$TMPDIR/t\" && cat \"$TMPDIR/t\" > made.txt && node -p 6*7 > sum.txt"),
            Step::add_file("note.txt", "one\n"),
            Step::text("All done"),
        ],
    ));
    let up = world.up().await?;
    for name in ["one", "two"] {
        let made = world.run(&["guest-instance", "create", name, "--local-only", "--json"]).await?;
        ensure!(made.code == Some(0), "{made:?}");
    }
    world.admit_executors("one").await?;
    let words = ["guest-instance", "limits", "one", "--isolation", isolation, "--json"];
    let bound = world.run(&words).await?;
    ensure!(bound.code == Some(0), "{bound:?}");

    let guest = world.guest_owner("one").await?;
    let session = guest.open_session_with(json!({"folder": "~", "tool": tool})).await?;
    let said = guest.ask(&session, "do the work").await;
    let log = fs::read_to_string(world.config().join("logs/guest-one.log")).unwrap_or_default();
    let said = said.with_context(|| format!("{log}\n{:?}", up.log()))?;
    ensure!(said == "All done", "{said}");
    let workspace = world.guest("one").join("workspace");
    let read = |name: &str| fs::read_to_string(workspace.join(name)).with_context(|| name.to_owned());
    ensure!(read("note.txt")? == "one\n");
    ensure!(read("made.txt")? == "made\n" && read("sum.txt")? == "42\n");
    ensure!(read("home.txt")?.trim() == workspace.to_str().unwrap_or_default());
    ensure!(read("id.txt")?.trim() == session, "{}", read("id.txt")?);
    ensure!(read("got.txt")?.is_empty());

    // Another guest's folder is none that a session can be in.
    let other = world.guest("two").join("workspace");
    let refused = guest.post("/api/sessions", &json!({"folder": other, "tool": tool})).await;
    ensure!(refused.is_err(), "{refused:?}");
    Ok(())
}
