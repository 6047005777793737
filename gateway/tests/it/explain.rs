//! What is explained is what happens.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::client::raw;
use crate::toy::Toy;
use crate::world::World;

const ROUNDS: usize = 400;

#[tokio::test]
async fn explain_agrees_with_routing() {
    let toys = [Toy::hello("owner").await, Toy::hello("1").await, Toy::hello("10").await];
    let guests = [("trial1", "t1.example.com", &toys[1]), ("trial10", "", &toys[2])];
    let world = World::with(&toys[0], &guests, |settings| {
        settings.listeners[0].domains = vec!["labels.example".into()];
        settings.listeners[0].hosts = vec!["lab.example".into()];
    })
    .await;
    let gone = world.record("trial7", "t7.example.com", 7);
    let stays: Vec<Value> =
        guests.iter().map(|(name, host, toy)| world.record(name, host, toy.port())).collect();
    world.write_registry(&json!([stays[0], stays[1], gone]).to_string());
    world.admin("POST", "/reload").await;
    world.write_registry(&json!(stays).to_string());
    world.admin("POST", "/reload").await;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..ROUNDS {
        let (method, host, target, header) = request().new_tree(&mut runner).unwrap().current();
        let told = explained(&world, method, host, &target, header).await;
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{header}\r\nconnection: close\r\n\r\n");
        let answer = raw(world.address, head).await;
        let status: u64 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let what = format!("{method} {host} {target} {header}: {told} and {answer:.60}");
        let served: Vec<(String, String)> = toys
            .iter()
            .zip(["owner", "trial1", "trial10"])
            .flat_map(|(toy, name)| toy.take().into_iter().map(move |seen| (name.to_owned(), seen.target)))
            .collect();
        let decision = told["decision"].as_str().unwrap().to_owned();
        match decision.as_str() {
            "forward" => {
                let text = |key: &str| told[key].as_str().unwrap().to_owned();
                assert_eq!(served, [(text("tenant"), text("target"))], "{what}");
                assert_eq!(status, 200, "{what}");
            }
            "redirect" => {
                let location = format!("location: {}\r\n", told["location"].as_str().unwrap());
                assert!(answer.contains(&location), "{what}");
                assert_eq!((served.len(), Some(status)), (0, told["status"].as_u64()), "{what}");
            }
            "root" => assert_eq!((served.len(), status), (0, 200), "{what}"),
            _ => assert_eq!((served.len(), Some(status)), (0, told["status"].as_u64()), "{what}"),
        }
        *seen.entry((decision, status)).or_insert(0) += 1;
    }
    assert!(seen.len() >= 9, "too little was tried: {seen:?}");
}

#[tokio::test]
async fn an_explanation_says_what_crosses_and_no_secret() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    let header = "cookie: trial1__session_token=secret; owner__x=secret";
    let told = explained(&world, "GET", "lab.example", "/trial1/x?a=1", header).await;
    let expected = json!({
        "decision": "forward", "tenant": "trial1", "instanceId": "trial1", "kind": "guest", "foreign": false, "by": "prefix",
        "upstream": format!("127.0.0.1:{}", guest.port()), "target": "/x?a=1",
        "headers": { "host": "lab.example", "cookie": "session_token=***" },
        "forwardedPrefix": "/trial1", "signed": true,
        "limits": { "requests": 128, "queue": 64, "sockets": 64, "body": 2_147_483_648_u64 },
        "listener": "default", "generation": 1,
    });
    assert_eq!(told, expected);
    assert!(guest.take().is_empty());
    let told = world.admin("GET", "/explain?url=https%3A%2F%2Flab.example%2Ftrial1%3Fx%23y").await.1;
    assert_eq!((&told["decision"], &told["location"]), (&json!("redirect"), &json!("/trial1/?x")));
    let told = world.admin("GET", "/explain?url=/trial1/&listener=nobody").await.1;
    assert_eq!(told["code"], "no_such_listener");

    // By the files alone it is the same, and nothing is written.
    let asked = remotelab_gateway::explain::Asked {
        host: "lab.example".into(),
        target: "/trial1/x?a=1".into(),
        headers: vec![("cookie".into(), "trial1__session_token=secret".into())],
        ..Default::default()
    };
    let mut expected = expected;
    expected.as_object_mut().unwrap().remove("generation");
    assert_eq!(remotelab_gateway::explain::offline(&world.settings, &asked).unwrap(), expected);
}

async fn explained(world: &World, method: &str, host: &str, target: &str, header: &str) -> Value {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (host, target, header) = (escape(host), escape(target), escape(header));
    let path = format!("/explain?method={method}&host={host}&target={target}&header={header}");
    let (status, told) = world.admin("GET", &path).await;
    assert_eq!(status, 200);
    told
}

fn request() -> impl Strategy<Value = (&'static str, &'static str, String, &'static str)> {
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "trial1",
        "trial10",
        "trial7",
        "owner",
        "nobody",
        "index.html",
        "x",
        "..",
        ".",
        "%2e",
        "%2F",
        "%zz",
        "\\",
        "?",
        "a=b",
        "#",
        "*",
        "//",
        "http://lab.example",
        "TRIAL1",
        "-",
        "%E4%BD%A0",
    ]);
    let target = prop_oneof![
        prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat()),
        prop::sample::select(vec![
            "/",
            "/trial1",
            "/trial1/",
            "/trial10/a?b",
            "/trial7/",
            "*",
            "//",
            "/owner/x"
        ])
        .prop_map(str::to_owned),
    ];
    let target = target.prop_filter("a request line has a target", |target| !target.is_empty());
    let host = prop::sample::select(vec![
        "lab.example",
        "lab.example",
        "127.0.0.1",
        "t1.example.com",
        "T1.example.com.:80",
        "t7.example.com",
        "trial10.labels.example",
        "trial7.labels.example",
        "nobody.labels.example",
        "evil.example",
        "a b",
        "[::1]",
    ]);
    let header = prop::sample::select(vec![
        "x-any: 1",
        "x-any: 1",
        "cookie: bridge_last_prefix=trial1",
        "referer: http://lab.example/owner/",
        "x-forwarded-host: t1.example.com",
    ]);
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);
    (method, host, target, header)
}
