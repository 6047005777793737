use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use remotelab_config::auth::Auth;
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
fn mistakes_are_answered_as_recorded() {
    let home = Home::new();
    home.out("guest-instance create demo --local-only");
    let mut answers = String::new();
    for line in [
        "guest-instance",
        "guest-instance fly",
        "guest-instance list trial1",
        "guest-instance create",
        "guest-instance create-trial trial7",
        "guest-instance create x --port 0",
        "guest-instance create x --session-expiry-days 31",
        "guest-instance create x --local-only --hostname a.b",
        "guest-instance create x --username u",
        "guest-instance create x --count 0",
        "guest-instance create x --count 2 --port 7800",
        "guest-instance create owner",
        "guest-instance create ...",
        "guest-instance create demo",
        "guest-instance create demo --json",
        "guest-instance create x --hostname nodot",
        "guest-instance show nobody",
        "guest-instance links nobody",
        "guest-instance stop nobody",
        "guest-instance restart demo",
        "guest-instance rename demo owner",
        "guest-instance rename demo",
        "guest-instance delete demo",
        "guest-instance delete demo --purge --json",
        "guest-instance delete owner --yes",
        "guest-instance delete nobody",
        "guest-instance delete demo --purge --keep-data",
        "guest-instance trash restore nobody",
        "guest-instance trash empty",
        "guest-instance trash empty --older-than soon --yes",
        "guest-instance logs demo",
    ] {
        let output = home.run(line);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{line}");
        let (code, said) = (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr));
        answers.push_str(&format!("$ remotelab {line}\n{said}exit code {code}\n\n"));
    }
    compare("guest-mistakes.txt", &without_chance(&home, answers));
}

#[test]
fn the_life_of_a_guest_is_as_recorded() {
    let home = Home::new();
    let up = home.up();
    let mut record = String::new();
    for line in [
        "guest-instance create demo --local-only --dry-run",
        "guest-instance create demo --local-only --dry-run --json",
        "guest-instance create-trial --count 2 --local-only",
        "guest-instance create share --count 2 --dry-run",
        "guest-instance stop trial1",
        "guest-instance list",
        "guest-instance show trial1",
        "guest-instance start trial1",
        "guest-instance restart trial2",
        "guest-instance rotate-token trial2 --sign-out",
        "guest-instance rename trial2 demo --dry-run",
        "guest-instance rename trial2 demo",
        "guest-instance delete demo --dry-run",
        "guest-instance delete demo --purge --dry-run --json",
        "guest-instance delete demo --yes --json",
        "guest-instance trash list",
        "guest-instance trash restore demo --as back",
        "guest-instance list",
        "guest-instance delete back --yes",
        "guest-instance trash list --json",
        "guest-instance trash empty --yes --older-than 1d",
        "guest-instance trash empty --yes",
        "guest-instance trash list",
        "guest-instance delete trial1 --purge --yes",
    ] {
        record.push_str(&format!("$ remotelab {line}\n{}\n", without_chance(&home, home.out(line))));
    }
    assert_eq!(up.children().len(), 3, "nothing runs on");
    compare("life.txt", &record);
}

#[test]
fn a_guest_that_was_stopped_is_not_started_with_everything_else() {
    let home = Home::new();
    home.out("guest-instance create-trial");
    let stopped = home.out("guest-instance stop trial1");
    assert_eq!(stopped, "name: trial1\nstatus: stopped\n");
    let up = home.up();
    assert_eq!(up.children().len(), 3);
    let started: Value = serde_json::from_str(&home.out("guest-instance start trial1 --json")).unwrap();
    assert_eq!((&started["localReachable"], &started["token"]), (&Value::Bool(true), &Value::from("")));
    let shown: Value = serde_json::from_str(&home.out("guest-instance show trial1 --json")).unwrap();
    assert_eq!(shown["process"]["program"], env!("CARGO_BIN_EXE_remotelab"));
    assert_eq!(shown.get("stopped"), None);
}

#[test]
fn the_last_lines_of_a_log_are_printed_and_what_follows_them() {
    let home = Home::new();
    home.out("guest-instance create-trial");
    let log = ".config/remotelab/logs/guest-trial1.log";
    home.write(log, "first\nsecond\nthird\n");
    assert_eq!(home.out("guest-instance logs trial1 -n 2"), "second\nthird\n");
    assert_eq!(home.out("guest-instance logs trial1"), "first\nsecond\nthird\n");
    let mut follow = home.remotelab("guest-instance logs trial1 -n 1 --follow");
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "third");
    let path = home.path().join(log);
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"fourth\n").unwrap();
    assert_eq!(next(), "fourth");
    // A full log is put aside.
    std::fs::rename(&path, path.with_extension("log.1")).unwrap();
    home.write(log, "fifth\n");
    assert_eq!(next(), "fifth");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_password_is_set_without_a_terminal() {
    let home = Home::new();
    home.out("guest-instance create-trial");
    let mut set = home.remotelab("guest-instance set-password trial1 --username u --password-stdin");
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(set.wait().unwrap().success());
    let auth = home.path().join(".remotelab/instances/trial1/config/auth.json");
    assert_eq!(Auth::load(&auth).unwrap().login.unwrap().username, "u");
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
    let checked: Value =
        serde_json::from_str(&home.out("guest-instance links trial1 --check --json")).unwrap();
    let ways = ["local", "public", "bridge"].map(|way| checked["reachability"][way]["status"].clone());
    assert_eq!(ways, ["reachable", "skipped", "skipped"]);
    assert!(home.out("guest-instance links --check").ends_with("\nlocalStatus: reachable\n"));
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
fn links_of_several_guests_are_asked_for_by_a_pattern_and_drawn() {
    let home = Home::new();
    home.out("guest-instance create-trial --count 2 --local-only");
    home.out("guest-instance create demo --local-only");
    let names = |line: &str| -> Vec<String> {
        let text = home.out(line);
        text.lines().filter_map(|line| line.strip_prefix("name: ")).map(str::to_owned).collect()
    };
    assert_eq!(names("guest-instance links t*"), ["trial1", "trial2"]);
    assert_eq!(names("guest-instance links ?emo"), ["demo"]);
    let one: Value = serde_json::from_str(&home.out("guest-instance links *1 --json")).unwrap();
    assert_eq!(one[0]["name"], "trial1", "a pattern gives a list");
    assert_eq!(home.failure("guest-instance links x*"), "error: there is no guest like x*\n");
    let link = home.out("guest-instance links demo");
    let link = link.lines().find_map(|line| line.strip_prefix("access: ")).unwrap().to_owned();
    let drawn = home.out("guest-instance links demo --qr");
    assert!(drawn.contains(&remotelab_manager::qr::render(&link).unwrap()), "{drawn}");
}

#[test]
fn a_port_that_another_tenant_has_is_told() {
    let home = Home::new();
    let _up = home.up();
    home.out("guest-instance create-trial --count 2");
    let file = home.config().join("guest-instances.json");
    let mut guests: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    guests[0]["port"] = guests[1]["port"].clone();
    guests[0]["localBaseUrl"] = guests[1]["localBaseUrl"].clone();
    std::fs::write(&file, serde_json::to_vec(&guests).unwrap()).unwrap();
    let links = home.out("guest-instance links --check");
    assert!(
        links.contains("\nlocalStatus: failed (wrong-instance: another instance answers)\n\nname: trial2\n"),
        "{links}"
    );
    assert!(links.ends_with("\nlocalStatus: reachable\n"), "{links}");
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

/// Names what differs from run to run: tokens, ports, times, ids of processes, and entries of the trash.
fn without_chance(home: &Home, mut text: String) -> String {
    let registry =
        std::fs::read(home.config().join("guest-instances.json")).unwrap_or_else(|_| b"[]".to_vec());
    let guests: Vec<Value> = serde_json::from_slice(&registry).unwrap();
    for guest in guests {
        let auth = std::fs::read(guest["authFile"].as_str().unwrap()).unwrap();
        let auth: Value = serde_json::from_slice(&auth).unwrap();
        text = text.replace(auth["token"].as_str().unwrap(), "TOKEN");
    }
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !":.-".contains(c));
    let without: String = words.map(named).collect();
    let program = env!("CARGO_BIN_EXE_remotelab");
    without.replace(program, "/bin/remotelab").replace(&home.path().display().to_string(), "/home/op")
}

fn named(word: &str) -> String {
    let text = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = &word[text.len()..];
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let stamp = |text: &str| text.len() == 16 && text.starts_with("20") && text.ends_with('z');
    if text.parse::<jiff::Timestamp>().is_ok() {
        return format!("DATE{end}");
    }
    match text.rsplit_once(['-', ':']) {
        Some((name, last)) if stamp(last) => format!("{name}-STAMP{end}"),
        Some((host, port)) if is_digits(port) && port.len() > 3 => format!("{host}:PORT{end}"),
        _ if is_digits(text) && text.len() > 2 => format!("NUMBER{end}"),
        _ => word.to_owned(),
    }
}
