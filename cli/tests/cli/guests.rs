use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::documents::compare;
use crate::home::{Home, get};

#[test]
fn results_are_as_recorded() {
    let home = Home::new();
    home.write(
        ".config/remotelab/guest-instance-defaults.json",
        r#"{"bridgeRootBaseUrl":"https://cn.example.net"}"#,
    );
    home.write(
        ".config/remotelab/agent-mailbox/identity.json",
        r#"{"name":"Rowan","localPart":"rowan","domain":"example.com"}"#,
    );
    let mut record = String::new();
    for line in [
        "guest-instance list",
        "guest-instance links",
        "guest-instance create-trial",
        "guest-instances list",
        "guest-instance list --json",
        "guest-instance create Demo --domain example.com --no-mailbox-sync --json",
        "guest-instance links",
        "guest-instance links trial1 --json",
        "guest-instance show trial1",
    ] {
        record.push_str(&format!("$ remotelab {line}\n{}\n", home.out(line)));
    }
    compare("guests.txt", &without_chance(&home, record));
}

#[test]
fn a_trial_is_reachable_when_its_command_returns() {
    let home = Home::new();
    let _up = home.up();
    let created: Value = serde_json::from_str(&home.out("guest-instance create-trial --json")).unwrap();
    assert_eq!(created["localReachable"], true);
    assert_eq!(created["warnings"], serde_json::json!([]));
    let token = created["token"].as_str().unwrap();
    let link = format!("http://127.0.0.1:{}/trial1/?token={token}", home.gateway_port());
    assert_eq!(created["gatewayAccessUrl"], link.as_str());
    let answer = get(home.gateway_port(), &format!("/trial1/?token={token}"), "");
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    let cookie = answer
        .lines()
        .find_map(|line| line.to_lowercase().starts_with("set-cookie: ").then(|| &line[12..]))
        .expect("a cookie");
    assert!(!cookie.contains("Secure"), "it must work over plain HTTP: {cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let me = get(home.gateway_port(), "/trial1/api/auth/me", &format!("Cookie: {cookie}\r\n"));
    assert!(me.starts_with("HTTP/1.1 200 "), "{me}");
    let owner = get(home.gateway_port(), "/owner/api/auth/me", &format!("Cookie: {cookie}\r\n"));
    assert!(owner.starts_with("HTTP/1.1 401 "), "{owner}");
    let list = home.out("guest-instance list");
    assert!(list.starts_with("trial1\t") && list.ends_with("\tlocal-only\trunning\n"), "{list}");
}

#[test]
fn creates_at_the_same_time_give_different_guests() {
    let home = Home::new();
    let _up = home.up();
    let creates: Vec<_> = (0..4)
        .map(|_| {
            let mut create = home.remotelab("guest-instance create-trial");
            create.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut create in creates {
        assert!(create.wait().unwrap().success());
    }
    let list = home.out("guest-instance list");
    let names: Vec<&str> = list.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["trial1", "trial2", "trial3", "trial4"]);
    assert!(list.lines().all(|line| line.ends_with("\trunning")), "{list}");
}

#[test]
fn a_guest_starts_again_with_everything_else() {
    let home = Home::new();
    let created = home.out("guest-instance create-trial");
    assert!(created.contains("\nstatus: stopped\n"), "{created}");
    let _up = home.up();
    // `up` answers before the last guest listens; a create returns after.
    home.out("guest-instance create-trial");
    let list = home.out("guest-instance list");
    assert!(list.contains("trial1\t") && list.lines().count() == 2, "{list}");
}

#[test]
fn creates_killed_at_any_moment_leave_a_whole_guest_or_nothing() {
    let home = Home::new();
    let up = home.up();
    for delay in 0..20 {
        let mut create = home.remotelab("guest-instance create-trial");
        let mut create = create.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay * 2));
        create.kill().unwrap();
        create.wait().unwrap();
    }
    // The next create removes what the last one left.
    home.run("guest-instance create last --local-only");
    let registry = std::fs::read(home.config().join("guest-instances.json")).unwrap();
    let guests: Vec<Value> = serde_json::from_slice(&registry).unwrap();
    assert!(guests.iter().all(|guest| guest.get("state").is_none()), "{guests:?}");
    let recorded: BTreeSet<String> =
        guests.iter().map(|guest| guest["name"].as_str().unwrap().to_owned()).collect();
    let folders = std::fs::read_dir(home.path().join(".remotelab/instances")).unwrap();
    let made: BTreeSet<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(recorded, made);
    assert!(recorded.contains("last"));
    let list = home.out("guest-instance list");
    assert!(list.lines().all(|line| line.ends_with("\trunning")), "{list}");
    assert_eq!(up.children().len(), 3 + guests.len());
}

/// Names what differs from run to run.
fn without_chance(home: &Home, mut text: String) -> String {
    let registry = std::fs::read(home.config().join("guest-instances.json")).unwrap();
    let guests: Vec<Value> = serde_json::from_slice(&registry).unwrap();
    for guest in guests {
        let auth = std::fs::read(guest["authFile"].as_str().unwrap()).unwrap();
        let auth: Value = serde_json::from_slice(&auth).unwrap();
        text = text
            .replace(auth["token"].as_str().unwrap(), "TOKEN")
            .replace(guest["createdAt"].as_str().unwrap(), "DATE")
            .replace(&guest["port"].to_string(), "PORT");
    }
    text.replace(&home.path().display().to_string(), "/home/op")
}
