//! Every input that the fuzz targets start from or once failed on, on the way that mail takes.

use std::fs;
use std::path::Path;

use remotelab_mailbox::Address;
use serde_json::json;

use crate::world::{World, mail, until};

#[tokio::test]
async fn every_mail_is_read_and_known_when_it_comes_again() {
    let world = World::new().await;
    for (name, raw) in corpus("mail") {
        let (status, first) = world.deliver("trial1@example.com", raw.clone()).await;
        assert_eq!(status, 200, "{name}: {first}");
        assert_ne!(first["disposition"], "parse_failed", "{name}");
        let (_, again) = world.deliver("trial1@example.com", raw).await;
        assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &first["id"]), "{name}");
    }
}

#[tokio::test]
async fn what_is_written_in_a_mail_reaches_the_session() {
    let world = World::new().await;
    for (name, input) in corpus("extract") {
        let input = String::from_utf8_lossy(&input).into_owned();
        let (subject, text) = input.split_once('\n').unwrap();
        let utf8 = "Content-Type: text/plain; charset=utf-8\r\n";
        let raw = mail(&format!("{name}@example.com"), utf8, text).replace("Monthly numbers", subject);
        world.deliver("trial1@example.com", raw).await;
        let id = format!("<{name}@example.com>");
        let told = until(&name, || {
            let texts = world.trial.posts().into_iter().map(|post| post.message["text"].clone());
            texts.filter_map(|text| Some(text.as_str()?.to_owned())).find(|text| text.contains(&id))
        })
        .await;
        let (_, said) = told.split_once("User message:\n").unwrap();
        let said = said.split("\n\n(The mail also quotes").next().unwrap_or_default();
        assert!(!said.is_empty(), "{name}");
        let mut lines = text.lines().map(str::trim_end);
        let is_next = |line: &str| lines.any(|written| written == line.trim_end());
        assert!(said.lines().all(is_next), "{name}: {said}");
    }
}

#[test]
fn addresses_are_printed_as_they_are_read() {
    for (name, input) in corpus("address") {
        let Ok(address) = Address::parse(&String::from_utf8_lossy(&input)) else { continue };
        assert_eq!(Address::parse(&address.to_string()), Ok(address), "{name}");
    }
}

/// The names and bytes of a target's inputs.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap())
    };
    let inputs: Vec<_> = paths.map(read).collect();
    assert!(!inputs.is_empty(), "no corpus of {target}");
    inputs
}
