//! A browser that knew the bridge of an earlier release goes on, with the cookies and links that it has.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, ensure};
use remotelab_tests::http::{self, Answer};
use remotelab_tests::world::World;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SESSION: &str = include_str!("replay/session.txt");

/// As earlier releases made them: 32 random bytes.
const OLD: &str = "5c530696f0e1d2c3b4a5968778695a4b3c2d1e0f11223344556677889900ebc3";
const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn an_earlier_browser_goes_on() -> anyhow::Result<()> {
    let mut world = World::without_executors().await?;
    world.set("NATAPP_BRIDGE_SERVICE_NAME", "trial1");
    fs::create_dir_all(world.config())?;
    fs::write(world.config().join("auth.json"), json!({ "token": TOKEN }).to_string())?;
    // Its role was added later.
    fs::write(
        world.config().join("auth-sessions.json"),
        format!(r#"{{"{OLD}":{{"expiry":99999999999999}}}}"#),
    )?;
    let _up = world.up().await?;

    let mut names = BTreeMap::from([
        ("old".to_owned(), OLD.to_owned()),
        ("token".to_owned(), TOKEN.to_owned()),
        ("origin".to_owned(), world.gateway_url()),
    ]);
    for step in SESSION.split("\n\n") {
        let lines: Vec<&str> = step.lines().filter(|line| !line.starts_with('#')).collect();
        if !lines.is_empty() {
            replay(&world, &lines, &mut names).await.with_context(|| step.to_owned())?;
        }
    }

    let head = format!(
        "GET /trial1/ws HTTP/1.1\r\nhost: h\r\norigin: http://h\r\ncookie: trial1__session_token={OLD}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut socket = TcpStream::connect(("127.0.0.1", world.ports().gateway)).await?;
    socket.write_all(head.as_bytes()).await?;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("build_info") {
        let len =
            tokio::time::timeout(std::time::Duration::from_secs(20), socket.read_buf(&mut seen)).await??;
        ensure!(len > 0, "the socket was closed: {}", String::from_utf8_lossy(&seen));
    }
    ensure!(seen.starts_with(b"HTTP/1.1 101 "));
    Ok(())
}

/// Asks what a step says, compares the answer and remembers of it what is to be remembered.
async fn replay(world: &World, lines: &[&str], names: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let filled = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let first = filled(lines[0]);
    let words: Vec<&str> = first.split(' ').collect();
    let [method, path, status, location @ ..] = &words[..] else { anyhow::bail!("no request in {first}") };
    let url = format!("{}/trial1{}", world.gateway_url(), path.trim_matches('"'));
    let mut request = http::client().request(method.parse()?, url);
    let mut body = Vec::new();
    for line in &lines[1..] {
        let line = filled(line);
        if let Some(text) = line.strip_prefix('|') {
            body.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else if !line.starts_with(['~', '=']) {
            let (name, value) = line.split_once(": ").context("a header has a value")?;
            request = request.header(name, value);
        }
    }
    let answer = http::send(request.body(body.join("\r\n"))).await?;
    let found = format!("{} {:?} {}", answer.status, answer.header("location"), answer.text);
    ensure!(answer.status.as_str() == *status, "{found}");
    ensure!(location.is_empty() || answer.header("location") == Some(&location.join(" ")), "{found}");
    for text in lines.iter().filter_map(|line| line.strip_prefix("~ ")) {
        ensure!(answer.text.contains(&filled(text)), "{} is not in {found}", filled(text));
    }
    let remembered: Vec<(String, String)> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("= "))
        .map(|rule| remember(rule, &answer).with_context(|| format!("{rule} is not in {found}")))
        .collect::<anyhow::Result<_>>()?;
    names.extend(remembered);
    Ok(())
}

/// What stands between two texts in the cookies, the place or the body of an answer.
fn remember(rule: &str, answer: &Answer) -> Option<(String, String)> {
    let mut words = rule.split(' ');
    let (name, before, after) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let cookies = answer.headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let places = answer.header("location").into_iter();
    let mut texts = cookies.chain(places).chain([answer.text.as_str()]);
    texts.find_map(|text| {
        let rest = text.split_once(before)?.1;
        Some((name.to_owned(), rest.split(if after.is_empty() { "&" } else { after }).next()?.to_owned()))
    })
}
