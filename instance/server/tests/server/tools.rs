//! Adding executors, and what each offers.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{ECHO, World, executable};

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_is_added_changed_and_used() {
    let world = World::signed_in(ECHO).await;
    let command = world.root.path().join("echo-tool");
    std::fs::copy(&command, world.root.path().join("second")).unwrap();
    let second = world.root.path().join("second");
    let reasoning =
        json!({"kind": "enum", "label": "Reasoning", "levels": ["low", "high"], "default": "high"});
    let (status, added) = world
        .post(
            "/api/tools",
            &json!({"name": "Second", "command": second, "runtimeFamily": "codex-json",
                "models": [{"id": "m", "label": "M", "defaultEffort": "low"}, "n", "n"], "reasoning": reasoning}),
        )
        .await;
    let id = added["tool"]["id"].as_str().unwrap().to_owned();
    let models = json!([{"id": "m", "label": "M", "defaultReasoning": "low"}, {"id": "n", "label": "n"}]);
    let expected = json!({"id": id, "name": "Second", "command": second, "runtimeFamily": "codex-json",
        "models": models, "reasoning": reasoning, "builtin": false, "available": true});
    assert_eq!((status, &added["tool"]), (StatusCode::CREATED, &expected));

    let (_, offer) = world.get(&format!("/api/models?tool={id}")).await;
    let offered = json!([{"id": "m", "label": "M", "defaultEffort": "low"}, {"id": "n", "label": "n"}]);
    assert_eq!(
        offer,
        json!({"models": offered, "effortLevels": ["low", "high"], "defaultModel": "m", "reasoning": reasoning})
    );

    let change = json!({"command": second, "runtimeFamily": "claude-stream-json"});
    let (_, changed) = world.post("/api/tools", &change).await;
    assert_eq!(
        (&changed["tool"]["id"], &changed["tool"]["name"], &changed["tool"]["reasoning"]),
        (&json!(id), &json!("Second"), &json!({"kind": "toggle", "label": "Thinking"}))
    );
    let (_, listed) = world.get("/api/tools").await;
    let custom: Vec<&Value> =
        listed["tools"].as_array().unwrap().iter().filter(|tool| tool["builtin"] == false).collect();
    assert_eq!(custom.iter().map(|tool| &tool["id"]).collect::<Vec<_>>(), ["echo", &id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_cannot_be_called_is_refused() {
    let world = World::signed_in(ECHO).await;
    let metacharacters = "Invalid command: must not contain shell metacharacters";
    let levels = "Reasoning levels are required for enum reasoning";
    for (body, error) in [
        (json!({"command": " ", "runtimeFamily": "codex-json"}), metacharacters),
        (json!({"command": "a; rm", "runtimeFamily": "codex-json"}), metacharacters),
        (json!({"command": "a`b`", "runtimeFamily": "codex-json"}), metacharacters),
        (json!({"command": "a"}), "runtimeFamily must be one of: claude-stream-json, codex-json"),
        (
            json!({"command": "codex", "runtimeFamily": "codex-json"}),
            "Command \"codex\" is already handled by builtin tool \"codex\"",
        ),
        (
            json!({"command": "a", "runtimeFamily": "codex-json", "reasoning": {"kind": "toggle"}}),
            "Reasoning kind \"toggle\" is not supported by codex-json",
        ),
        (
            json!({"command": "a", "runtimeFamily": "claude-stream-json", "reasoning": {"kind": "enum"}}),
            "Reasoning kind \"enum\" is not supported by claude-stream-json",
        ),
        (json!({"command": "a", "runtimeFamily": "codex-json", "reasoning": {"kind": "enum"}}), levels),
        (json!({"command": 7, "runtimeFamily": "codex-json"}), "Invalid request body"),
        (json!(null), "Invalid request body"),
    ] {
        assert_eq!(
            world.post("/api/tools", &body).await,
            (StatusCode::BAD_REQUEST, json!({"error": error})),
            "{body}"
        );
    }
    let long = json!({"command": "x".repeat(65_537), "runtimeFamily": "codex-json"});
    assert_eq!(world.post("/api/tools", &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_added_at_once_are_all_kept() {
    let world = World::signed_in(ECHO).await;
    let bodies: Vec<Value> = (0..20)
        .map(|number| json!({"command": format!("/opt/tool{number}"), "runtimeFamily": "codex-json"}))
        .collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| world.post("/api/tools", body)));
    assert!(answers.await.iter().all(|(status, _)| *status == StatusCode::CREATED));
    let (_, listed) = world.get("/api/tools").await;
    let custom = listed["tools"].as_array().unwrap().iter().filter(|tool| tool["builtin"] == false).count();
    assert_eq!(custom, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_executor_says_what_it_offers() {
    let world = World::signed_in(ECHO).await;
    let none = json!({"models": [], "effortLevels": null, "defaultModel": null,
        "reasoning": {"kind": "none", "label": "Thinking"}});
    for tool in ["copilot", "demo", "nonsense", ""] {
        assert_eq!(world.get(&format!("/api/models?tool={tool}")).await, (StatusCode::OK, none.clone()));
    }
    let (_, claude) = world.get("/api/models?tool=claude").await;
    assert_eq!(
        claude,
        json!({"models": [{"id": "sonnet", "label": "Sonnet"}, {"id": "opus", "label": "Opus"},
            {"id": "haiku", "label": "Haiku"}], "effortLevels": null, "defaultModel": null,
            "reasoning": {"kind": "toggle", "label": "Thinking"}})
    );
    let home = world.root.path().join(".codex");
    std::fs::create_dir_all(&home).unwrap();
    let model = json!({"slug": "big", "display_name": "Big", "visibility": "list",
        "default_reasoning_level": "high", "supported_reasoning_levels": [{"effort": "high"}]});
    std::fs::write(home.join("models_cache.json"), json!({"models": [model]}).to_string()).unwrap();
    let (_, codex) = world.get("/api/models?tool=codex").await;
    assert_eq!(
        codex["models"],
        json!([{"id": "big", "label": "Big", "defaultEffort": "high", "effortLevels": ["high"]}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_are_found_where_the_owners_shell_finds_them_if_it_is_to_be_asked() {
    let root = tempfile::tempdir().unwrap();
    let hidden = root.path().join("hidden");
    std::fs::create_dir(&hidden).unwrap();
    executable(&hidden.join("codex"), "exit 0");
    let shell = root.path().join("shell");
    executable(
        &shell,
        &format!("export PATH='{}':\"$PATH\"\nfor last; do :; done\neval \"$last\"", hidden.display()),
    );
    for (variables, wanted) in
        [(vec![], false), (vec![("REMOTELAB_USER_SHELL", shell.to_str().unwrap())], true)]
    {
        let world = World::signed_in_with(ECHO, &variables).await;
        let found = async {
            loop {
                let (_, answer) = world.get("/api/tools").await;
                if answer["tools"][0]["available"] == wanted {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), found)
            .await
            .expect("the list follows the shell");
    }
}
