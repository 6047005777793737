//! What the operator looks at and clears away.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::home::Home;

const LOG: &str =
    ".codex/sessions/2026/11/20/rollout-2026-11-20T10-00-00-0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b.jsonl";

#[test]
fn usage_is_added_up_for_the_owner_and_for_a_guest() {
    let home = Home::new();
    let line = |tokens: u64| {
        json!({"timestamp": "2026-11-20T10:00:00Z", "type": "event_msg", "payload": {"type": "token_count",
            "info": {"total_token_usage": {"input_tokens": tokens, "output_tokens": 0}}}})
        .to_string()
    };
    home.write(LOG, &line(12_900));
    let guests = json!([{"name": "trial1", "port": 7701, "instanceRoot": home.path().join("t1")}]);
    home.write(".config/remotelab/guest-instances.json", &guests.to_string());
    let managed = LOG.trim_start_matches(".codex/");
    home.write(&format!("t1/config/provider-runtime-homes/codex/{managed}"), &line(7));
    let total = |line: &str| {
        let summary: Value = serde_json::from_str(&home.out(line)).unwrap();
        summary["totalTokens"].as_u64().unwrap()
    };
    let at = "usage-summary --now 2026-11-22 --json";
    assert_eq!(total(at), 12_900);
    assert_eq!(total(&format!("{at} --source managed")), 0);
    assert_eq!(total(&format!("{at} --instance trial1")), 7);
    assert_eq!(total(&format!("{at} --instance trial1 --source all")), 12_907);
    let text = home.out("usage-summary --now 2026-11-22");
    assert!(
        text.starts_with(
            "Codex usage summary (7d, all sources)\nWindow: 2026-11-15 00:00 → 2026-11-22 00:00\n"
        )
    );
    assert!(home.failure("usage-summary --instance nobody").contains("there is no guest nobody"));
}

#[test]
fn room_is_cleared_only_when_asked_for_and_while_the_server_runs() {
    let home = Home::new();
    let _up = home.up();
    let log = home.config().join("api-logs/2026-01-01.jsonl");
    home.write(".config/remotelab/api-logs/2026-01-01.jsonl", &"x".repeat(10_000));
    let usage: Value = serde_json::from_str(&home.out("storage usage --json")).unwrap();
    assert!(usage["kinds"]["logs"].as_u64().unwrap() >= 10_000, "{usage}");
    let would: Value = serde_json::from_str(&home.out("storage prune --dry-run --json")).unwrap();
    let expected = json!([{"kind": "logs", "path": log, "bytes": would["bytes"]}]);
    assert_eq!(
        (&would["dryRun"], &would["removed"], &would["skipped"]),
        (&json!(true), &expected, &json!([]))
    );
    assert!(home.out("storage prune --yes --what runs,media,temporary").starts_with("0 files"));
    assert!(log.exists());
    assert!(home.out("storage prune --yes --older-than 1d").ends_with("1 files, 12.0 KiB, cleared away\n"));
    assert!(!log.exists());
}

#[test]
fn the_doctor_says_what_helps() {
    let home = Home::new();
    assert!(
        String::from_utf8_lossy(&home.run("doctor").stdout)
            .contains("does not exist\n      try: remotelab up")
    );
    home.write("bin/codex", "#!/bin/sh\n");
    fs::set_permissions(home.path().join("bin/codex"), fs::Permissions::from_mode(0o755)).unwrap();
    let doctor = |line: &str| {
        let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
        home.remotelab(line).env("PATH", path).output().unwrap()
    };
    let up = home.up();
    let well = doctor("doctor --json");
    let told: Value = serde_json::from_slice(&well.stdout).unwrap();
    assert_eq!(
        (well.status.code(), &told["ok"], &told["instance"]),
        (Some(0), &json!(true), &json!("owner")),
        "{told}"
    );
    home.end(up);
    home.write(".config/remotelab/chat-history/x/session.json", "{");
    let ill = doctor("doctor");
    let text = String::from_utf8(ill.stdout).unwrap();
    assert_eq!(ill.status.code(), Some(1));
    assert!(
        text.contains("FAIL  the chat server of owner does not run\n      try: remotelab up\n"),
        "{text}"
    );
    assert!(text.contains("chat-history/x/session.json is damaged"), "{text}");
    assert!(!text.contains("shared origin"), "{text}");
    home.write(".config/remotelab/guest-instances.json", r#"[{"name":"trial1","port":9}]"#);
    let text = String::from_utf8(doctor("doctor").stdout).unwrap();
    assert!(text.contains("warn  shared origin: by prefix, browsers take pages of trial1 for"), "{text}");
    home.write(".config/remotelab/gateway.toml", "[listener.a]\nbind = \"127.0.0.1:0\"\nmode = \"host\"\n");
    let text = String::from_utf8(doctor("doctor").stdout).unwrap();
    assert!(!text.contains("shared origin"), "{text}");
}
