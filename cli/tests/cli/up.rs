use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::home::{Home, PATIENCE, get};

#[test]
fn greets_within_two_seconds_and_ends_within_five() {
    let home = Home::new();
    let begin = Instant::now();
    let mut up = home.up();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let owner = up.said("owner").unwrap();
    let token = owner.split_once("token=").unwrap().1;
    assert_eq!(owner, format!("http://127.0.0.1:{}/?token={token}", home.owner_port()));
    let gateway = format!("http://127.0.0.1:{}/owner/?token={token}", home.gateway_port());
    assert_eq!(up.said("gateway"), Some(gateway.as_str()));
    let config = home.config().display().to_string();
    assert_eq!(up.said("files"), Some(config.as_str()));
    assert_eq!(up.said("logs"), Some(format!("{config}/logs").as_str()));
    assert!(up.said("executors").unwrap().contains("demo"));
    assert!(!up.greeting.contains('█'), "no code where there is no terminal");
    for (port, target) in [(home.owner_port(), "/"), (home.gateway_port(), "/owner/")] {
        let answer = get(port, &format!("{target}?token={token}"), "");
        assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    }
    let children = up.children();
    assert_eq!(children.len(), 3);
    let begin = Instant::now();
    signal("TERM", up.child.id());
    assert!(up.child.wait().unwrap().success());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(children.into_iter().filter(|id| lives(*id)).count(), 0);
}

#[test]
fn a_terminal_shows_a_code_and_its_ctrl_c_ends_it() {
    let home = Home::new();
    let plain = home.remotelab("up");
    let program = plain.get_program().to_str().unwrap();
    let mut terminal = Command::new("script")
        .args(["-q", "-e", "-f", "-c", &format!("exec '{program}' up"), "/dev/null"])
        .env_clear()
        .envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(terminal.stdout.take().unwrap()).lines().map_while(Result::ok);
    let greeting: Vec<String> = shown.by_ref().take_while(|line| !line.contains("Ctrl-C ends it")).collect();
    assert!(greeting.iter().any(|line| line.contains('█')), "{greeting:#?}");
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    // To its end: who writes to a pipe that nobody reads is killed.
    shown.for_each(drop);
    assert!(terminal.wait().unwrap().success());
}

#[test]
fn a_killed_supervisor_takes_its_children_along_and_comes_back_at_once() {
    let home = Home::new();
    let mut up = home.up();
    let children = up.children();
    signal("KILL", up.child.id());
    up.child.wait().unwrap();
    let again = home.up();
    assert_eq!(again.said("owner"), up.said("owner"));
    wait_for(|| children.iter().all(|id| !lives(*id)));
}

#[test]
fn a_killed_child_comes_back() {
    let home = Home::new();
    let up = home.up();
    let before = up.children();
    before.iter().for_each(|id| signal("KILL", *id));
    wait_for(|| {
        let now = up.children();
        now.len() == 3 && now.iter().all(|id| !before.contains(id))
    });
    wait_for(|| std::net::TcpStream::connect(("127.0.0.1", home.gateway_port())).is_ok());
}

#[test]
fn what_stands_in_the_way_is_said_in_one_sentence() {
    let home = Home::new();
    let taken = TcpListener::bind(("127.0.0.1", home.gateway_port())).unwrap();
    let sentence = home.failure("up");
    assert_eq!(
        sentence,
        format!(
            "error: port {} for the gateway is in use by another program; free it, or choose another \
             one with NATAPP_PROXY_LISTEN_PORT or gateway.toml\n",
            home.gateway_port()
        )
    );
    assert!(std::net::TcpStream::connect(("127.0.0.1", home.owner_port())).is_err());
    drop(taken);
    let _up = home.up();
    let config = home.config().display().to_string();
    assert_eq!(
        home.failure("up"),
        format!("error: RemoteLab is already up for {config}\ntry: remotelab guest-instance links\n")
    );
    let other = Home::new();
    other.write(".config", "a file");
    let sentence = other.failure("up");
    assert!(sentence.starts_with("error: cannot create folder "), "{sentence}");
    assert_eq!(sentence.lines().count(), 1);
}

fn wait_for(right: impl Fn() -> bool) {
    let begin = Instant::now();
    while !right() {
        assert!(begin.elapsed() < PATIENCE, "it did not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, id: u32) {
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().unwrap();
    assert!(status.success());
}

fn lives(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !matches!(stat.rsplit(')').next().unwrap_or_default().trim().chars().next(), None | Some('Z'))
}
