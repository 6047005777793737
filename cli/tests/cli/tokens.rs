use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use remotelab_config::{auth::Auth, password};

use crate::home::{Home, get};

#[test]
fn a_new_token_keeps_everything_else() {
    let home = Home::new();
    home.write(".config/remotelab/auth.json", r#"{"token":"","username":"op","note":1}"#);
    let said = home.out("generate-token");
    let file = home.config().join("auth.json");
    let token = Auth::load(&file).unwrap().token.reveal();
    let expected = format!(
        "Auth token generated and written to: {}\n\nYour access token: {token}\n\nAccess URL (local):\n  \
         http://127.0.0.1:{}/?token={token}\n",
        file.display(),
        home.owner_port()
    );
    assert_eq!(said, expected);
    let stored: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(stored, serde_json::json!({"token": token, "username": "op", "note": 1}));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_link_leads_where_the_tunnel_does() {
    let home = Home::new();
    let rule = format!(
        "ingress:\n  - hostname: remotelab.example.com\n    service: http://localhost:{}\n",
        home.owner_port()
    );
    home.write(".cloudflared/config.yml", &rule);
    assert!(home.out("generate-token").contains("\nAccess URL:\n  https://remotelab.example.com/?token="));
}

#[test]
fn a_chat_server_without_a_token_does_not_start() {
    let home = Home::new();
    let file = home.config().join("auth.json").display().to_string();
    let expected = format!("error: {file} does not exist\ntry: remotelab generate-token\n");
    assert_eq!(home.failure("chat"), expected);
    home.write(".config/remotelab/auth.json", r#"{"token":"zz"}"#);
    let expected =
        format!("error: the token in {file} is not 64 hex digits\ntry: remotelab generate-token\n");
    assert_eq!(home.failure("chat"), expected);
}

#[test]
fn a_damaged_file_is_not_overwritten() {
    let home = Home::new();
    home.write(".config/remotelab/auth.json", "{\"token\":");
    assert!(home.failure("generate-token").contains("move the file away"));
    let kept = fs::read_to_string(home.config().join("auth.json")).unwrap();
    assert_eq!(kept, "{\"token\":");
}

#[test]
fn a_piped_password_is_set() {
    let home = Home::new();
    home.out("generate-token");
    let mut child = home
        .remotelab("set-password --username=op --password-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(child.wait().unwrap().success());
    let login = Auth::load(&home.config().join("auth.json")).unwrap().login.unwrap();
    assert_eq!(login.username, "op");
    assert!(password::verify("correct horse", &login.password_hash));
}

#[test]
fn asking_for_help_or_a_wrong_word_changes_no_token() {
    let home = Home::new();
    home.out("generate-token");
    let file = home.config().join("auth.json");
    let before = fs::read(&file).unwrap();
    assert!(home.out("generate-token --help").starts_with("Replace the access token"));
    for line in ["generate-token --bogus", "generate-token now"] {
        assert_eq!(home.run(line).status.code(), Some(2), "{line}");
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_token_is_told_as_data_and_without_a_link() {
    let home = Home::new();
    let told: serde_json::Value = serde_json::from_str(&home.out("generate-token --json")).unwrap();
    let token = Auth::load(&home.config().join("auth.json")).unwrap().token.reveal();
    let link = format!("http://127.0.0.1:{}/?token={token}", home.owner_port());
    let expected =
        serde_json::json!({"authFile": home.config().join("auth.json"), "token": token, "accessUrl": link});
    assert_eq!(told, expected);
    assert!(!home.out("generate-token --no-url").contains("Open:"));
    // A folder of somebody else, of which no port is known: the owner's link would be the wrong one.
    let elsewhere = home
        .remotelab("generate-token")
        .env_remove("CHAT_PORT")
        .env("REMOTELAB_INSTANCE_ROOT", home.path().join("guest"))
        .output()
        .unwrap();
    let said = String::from_utf8(elsewhere.stdout).unwrap();
    assert!(elsewhere.status.success() && !said.contains("Open:"), "{said}");
}

#[test]
fn every_browser_is_signed_out_while_the_server_is_stopped() {
    let home = Home::new();
    home.out("generate-token");
    home.write(".config/remotelab/auth-sessions.json", r#"{"ab":{"expiry":9999999999999}}"#);
    let up = home.up();
    assert!(home.failure("generate-token --revoke-sessions").contains("needs the chat server of owner"));
    home.end(up);
    home.out("generate-token --revoke-sessions");
    assert_eq!(fs::read_to_string(home.config().join("auth-sessions.json")).unwrap(), "{}\n");
}

#[test]
fn a_password_does_not_replace_a_broken_file() {
    let home = Home::new();
    home.write(".config/remotelab/auth.json", "{\"token\":");
    let output = home.run("set-password --username op --password-stdin");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(home.config().join("auth.json")).unwrap(), "{\"token\":");
}

#[test]
fn scoped_tokens_are_made_listed_and_revoked_while_the_server_runs() {
    let home = Home::new();
    let _up = home.up();
    let made: serde_json::Value =
        serde_json::from_str(&home.out("token create --name bot --expires 90d --json")).unwrap();
    let (id, text) = (made["token"]["id"].as_str().unwrap(), made["token"]["token"].as_str().unwrap());
    let header = format!("Authorization: Bearer {text}\r\n");
    let get = || get(home.owner_port(), "/api/sessions", &header);
    assert!(get().starts_with("HTTP/1.1 200"), "{}", get());
    let listed = home.out("token list");
    let keys: Vec<&str> = listed.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(keys, ["id", "name", "scope", "created", "lastUsed", "expires"]);
    assert!(
        listed.starts_with(&format!("id: {id}\nname: bot\nscope: connector\n")) && !listed.contains(text)
    );
    assert_eq!(home.out(&format!("token revoke {id}")), format!("{id} (bot) is refused from now on.\n"));
    assert!(get().starts_with("HTTP/1.1 401"), "{}", get());
    assert_eq!(home.out("token list"), "There are no tokens.\n");
    let gone = home.failure(&format!("token revoke {id}"));
    assert_eq!(gone, "error: Token not found\ntry: remotelab token list\n");
}

#[test]
fn links_for_a_while_are_made_listed_and_revoked() {
    let home = Home::new();
    home.out("guest-instance create demo --local-only");
    let made = home.out("guest-instance links create demo --expires 7d --uses 2 --label Ann --json");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let (url, id) = (made["url"].as_str().unwrap(), made["id"].as_str().unwrap());
    let (_, secret) = url.split_once("/enter?link=rgl_").unwrap();
    assert_eq!((secret.len(), &made["state"], &made["label"]), (64, &"good".into(), &"Ann".into()));
    let folder = home.path().join(".remotelab/instances/demo/config");
    assert!(!fs::read_to_string(folder.join("guest-links.json")).unwrap().contains(secret));
    let listed = home.out("guest-instance links list demo");
    assert!(
        listed.starts_with(&format!("{id}\tgood\t0 of 2\t20")) && listed.ends_with("\tAnn\n"),
        "{listed}"
    );
    assert_eq!(home.out(&format!("guest-instance links revoke demo {id}")), format!("revoked: {id}\n"));
    assert_eq!(home.out("guest-instance links list demo"), "There are no such links of demo.\n");
    let expected = format!("error: demo has no link {id}\ntry: remotelab guest-instance links list demo\n");
    assert_eq!(home.failure(&format!("guest-instance links revoke demo {id}")), expected);
    // The links with the token are as they were.
    assert!(home.out("guest-instance links demo").contains("/?token="));
}

#[test]
fn bounds_are_changed_and_what_would_open_too_much_is_refused() {
    let home = Home::new();
    home.out("guest-instance create demo --local-only");
    let later = "warning: it does not run yet: `remotelab up` starts it\n";
    let said = home.out("guest-instance quota demo --disk 5G --runs 40");
    assert_eq!(said, format!("name: demo\ndisk: 5 GiB\nrunsPerDay: 40\n{later}"));
    let said =
        home.out("guest-instance limits demo --memory 2G --cpu 150% --allow-port 5432 --contain require");
    for line in ["contain: require", "port: 5432", "memory: 2 GiB", "tasks: no limit", "cpu: 150%"] {
        assert!(said.contains(&format!("\n{line}\n")), "{line} in {said}");
    }
    let row: serde_json::Value =
        serde_json::from_slice(&fs::read(home.config().join("guest-instances.json")).unwrap()).unwrap();
    assert_eq!(row[0]["quota"], serde_json::json!({"disk": 5_368_709_120_u64, "runsPerDay": 40}));
    assert_eq!(row[0]["runLimits"], serde_json::json!({"memory": 2_147_483_648_u64, "cpu": 150}));
    assert_eq!(row[0]["containment"], serde_json::json!({"level": "require", "ports": [5432]}));

    let all = home.path().display().to_string();
    let refused = home.failure(&format!("guest-instance limits demo --allow-folder {all}"));
    assert!(refused.contains("holds files of the operator or of other guests"), "{refused}");
    let report: serde_json::Value = serde_json::from_str(&home.out("guest-instance report --json")).unwrap();
    assert_eq!(
        (&report["instances"][0]["status"], &report["summary"]["emptyCount"]),
        (&"empty".into(), &1.into())
    );
}
