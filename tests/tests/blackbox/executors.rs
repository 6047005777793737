//! The real executors run against the stand-in model.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use remotelab_tests::executors::{Login, RealExecutors};
use remotelab_tests::standin_model::{Api, Script, StandinModel, Step};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const CODEX: &[&str] = &[
    "exec",
    "--json",
    "--dangerously-bypass-approvals-and-sandbox",
    "--skip-git-repo-check",
    "-c",
    "model_reasoning_effort=low",
    "-",
];
const CLAUDE: &[&str] =
    &["-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"];

fn work_script() -> Script {
    Script::new().when_text(
        "do the work",
        [
            Step::reasoning("Let me see"),
            Step::shell("echo sum-$((6*7))"),
            Step::add_file("note.txt", "one\ntwo\n"),
            Step::text("All "),
            Step::text("done"),
        ],
    )
}

#[tokio::test]
async fn codex_runs_a_tool_writes_a_file_and_answers() -> anyhow::Result<()> {
    let bench = Bench::start(Login::In).await?;
    bench.model.script(work_script());

    let outcome = bench.run("codex", CODEX, "do the work").await?;

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let command = outcome.find(|line| line["item"]["exit_code"] == 0)?;
    assert_eq!(command["item"]["aggregated_output"], "sum-42\n");
    let answer = outcome.find(|line| line["item"]["type"] == "agent_message")?;
    assert_eq!(answer["item"]["text"], "All done");
    assert_eq!(bench.file("note.txt")?, "one\ntwo\n");
    assert_eq!(bench.turns(Api::Responses), [0, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn claude_runs_a_tool_writes_a_file_and_answers() -> anyhow::Result<()> {
    let bench = Bench::start(Login::In).await?;
    bench.model.script(work_script());

    let outcome = bench.run("claude", CLAUDE, "do the work").await?;

    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let command = outcome.find(|line| line["tool_use_result"]["stdout"].is_string())?;
    assert_eq!(command["tool_use_result"]["stdout"], "sum-42");
    let answer = outcome.find(|line| line["type"] == "result")?;
    assert_eq!(answer["result"], "All done");
    assert_eq!(bench.file("note.txt")?, "one\ntwo\n");
    assert_eq!(bench.turns(Api::Messages), [0, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_refused_key_fails_the_run() -> anyhow::Result<()> {
    let bench = Bench::start(Login::In).await?;
    bench.model.script(Script::new().otherwise([Step::status(401)]));

    let codex = bench.run("codex", CODEX, "hello").await?;
    assert_eq!(codex.code, Some(1), "{codex:?}");
    let failed = codex.find(|line| line["type"] == "turn.failed")?;
    let message = failed["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("401 Unauthorized"), "{message}");

    let claude = bench.run("claude", CLAUDE, "hello").await?;
    assert_eq!(claude.code, Some(1), "{claude:?}");
    assert_eq!(claude.find(|line| line["type"] == "result")?["is_error"], true);
    Ok(())
}

#[tokio::test]
async fn without_a_key_nothing_is_asked() -> anyhow::Result<()> {
    let bench = Bench::start(Login::Out).await?;

    let codex = bench.run("codex", CODEX, "hello").await?;
    assert_eq!(codex.code, Some(1), "{codex:?}");

    let claude = bench.run("claude", CLAUDE, "hello").await?;
    let result = claude.find(|line| line["type"] == "result")?;
    assert!(result["result"].as_str().is_some_and(|text| text.contains("Not logged in")), "{result}");
    assert_eq!(bench.model.requests(), []);
    Ok(())
}

#[tokio::test]
async fn a_held_answer_goes_on_when_released() -> anyhow::Result<()> {
    let bench = Bench::start(Login::In).await?;
    bench.model.script(Script::new().otherwise([
        Step::text("first "),
        Step::hold("half"),
        Step::text("second"),
    ]));

    let (outcome, ()) = tokio::try_join!(bench.run("codex", CODEX, "hello"), async {
        bench.model.held("half").await?;
        bench.model.release("half");
        Ok(())
    })?;
    let answer = outcome.find(|line| line["item"]["type"] == "agent_message")?;
    assert_eq!(answer["item"]["text"], "first second");
    Ok(())
}

#[tokio::test]
async fn without_a_script_the_words_come_back() -> anyhow::Result<()> {
    let bench = Bench::start(Login::In).await?;
    let prompt = "rules\n\n---\n\nUser message:\nhow are you?";

    let codex = bench.run("codex", CODEX, prompt).await?;
    let answer = codex.find(|line| line["item"]["type"] == "agent_message")?;
    assert_eq!(answer["item"]["text"], "You said: how are you?");

    let claude = bench.run("claude", CLAUDE, prompt).await?;
    let answer = claude.find(|line| line["type"] == "result")?;
    assert_eq!(answer["result"], "You said: how are you?");
    Ok(())
}

/// A model, the linked executors and a folder to work in.
struct Bench {
    model: StandinModel,
    root: TempDir,
}

#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    lines: Vec<Value>,
    #[expect(dead_code, reason = "read by Debug when an assertion fails")]
    stderr: String,
}

impl Bench {
    async fn start(login: Login) -> anyhow::Result<Self> {
        let model = StandinModel::start().await?;
        let root = TempDir::new()?;
        std::fs::create_dir(root.path().join("work"))?;
        RealExecutors::locate()?.link(&root.path().join("bin"), &model.base_url(), login)?;
        Ok(Self { model, root })
    }

    async fn run(&self, program: &str, args: &[&str], prompt: &str) -> anyhow::Result<Outcome> {
        let root = self.root.path();
        let codex_home = root.join("codex");
        std::fs::create_dir_all(&codex_home)?;
        let mut child = Command::new(root.join("bin").join(program))
            .args(args)
            .current_dir(root.join("work"))
            .env("HOME", root)
            .env("CODEX_HOME", codex_home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        // A program that gives up early does not read its prompt.
        let _ = stdin.write_all(prompt.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
            .await
            .with_context(|| format!("{program} took too long"))??;
        Ok(Outcome {
            code: output.status.code(),
            lines: String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn file(&self, name: &str) -> anyhow::Result<String> {
        let path: &Path = &self.root.path().join("work").join(name);
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
    }

    /// Which turns of an answer were asked for, in order.
    fn turns(&self, api: Api) -> Vec<usize> {
        let requests = self.model.requests();
        requests.iter().filter(|r| r.api == api).map(|r| r.results).collect()
    }
}

impl Outcome {
    fn find(&self, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<&Value> {
        self.lines.iter().find(|line| wanted(line)).with_context(|| format!("no such line in {self:#?}"))
    }
}
