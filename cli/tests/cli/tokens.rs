use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use remotelab_config::{auth::Auth, password};

use crate::home::Home;

#[test]
fn a_new_token_keeps_everything_else() {
    let home = Home::new();
    home.write(".config/remotelab/auth.json", r#"{"token":"","username":"op","note":1}"#);
    let said = home.out("generate-token");
    let file = home.config().join("auth.json");
    let token = Auth::load(&file).unwrap().token.reveal();
    let expected = format!(
        "Token file: {}\nYour access token: {token}\nOpen: http://127.0.0.1:{}/?token={token}\n",
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
    assert!(home.out("generate-token").contains("\nOpen: https://remotelab.example.com/?token="));
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
