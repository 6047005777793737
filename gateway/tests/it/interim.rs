//! What is said before an answer, and after its body.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::client::read_until;
use crate::toy::Toy;
use crate::world::World;

#[tokio::test]
async fn the_instance_says_when_it_wants_the_body() {
    let mut ends = Ends::new().await;
    ends.ask("POST /trial1/ HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let head = ends.seen("\r\n\r\n").await;
    assert!(head.contains("expect: 100-continue\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    ends.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(ends.told("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    ends.ask("hello").await;
    assert_eq!(ends.seen("hello").await, "hello");
    ends.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(ends.told("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn an_instance_that_refuses_a_body_is_not_sent_it() {
    let mut ends = Ends::new().await;
    ends.ask("POST /trial1/ HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    ends.seen("\r\n\r\n").await;
    ends.say("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    assert!(ends.told("no").await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn an_instance_that_does_not_know_the_question_gets_the_body_all_the_same() {
    let mut ends = Ends::new().await;
    ends.ask("POST /trial1/ HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(ends.told("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    ends.ask("hello").await;
    assert!(ends.seen("hello").await.ends_with("\r\n\r\nhello"));
}

#[tokio::test]
async fn a_page_gets_its_hints_early_and_mapped() {
    let mut ends = Ends::new().await;
    for round in 0..2 {
        ends.ask("GET /trial1/ HTTP/1.1\r\nhost: h\r\naccept: text/html\r\n\r\n").await;
        ends.seen("\r\n\r\n").await;
        ends.say("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nset-cookie: a=1\r\n\r\n").await;
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </trial1/a.css>; rel=preload\r\n\r\n";
        assert_eq!(ends.told("\r\n\r\n").await, hint, "{round}");
        ends.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert!(ends.told("ok").await.starts_with("HTTP/1.1 200 OK\r\n"), "{round}");
    }
    ends.ask("GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
    ends.seen("\r\n\r\n").await;
    ends.say(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    assert!(ends.told("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn trailers_pass_both_ways_to_whoever_takes_them() {
    let mut ends = Ends::new().await;
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end, set-cookie\r\n\r\n\
                  2\r\nok\r\n0\r\nx-end: 2\r\nset-cookie: a=1\r\n\r\n";
    ends.ask(
        "POST /trial1/ HTTP/1.1\r\nhost: h\r\nte: trailers, deflate\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum, x-forwarded-for\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\nx-forwarded-for: 6.6.6.6\r\n\r\n",
    )
    .await;
    let seen = ends.seen("x-sum: 1\r\n\r\n").await;
    assert!(seen.contains("te: trailers\r\n") && seen.contains("trailer: x-sum\r\n"), "{seen}");
    assert!(seen.ends_with("1\r\na\r\n0\r\nx-sum: 1\r\n\r\n") && !seen.contains("6.6.6.6"), "{seen}");
    ends.say(answer).await;
    let told = ends.told("x-end: 2\r\n\r\n").await;
    assert!(told.ends_with("2\r\nok\r\n0\r\nx-end: 2\r\n\r\n") && !told.contains("cookie"), "{told}");

    ends.ask("GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(!ends.seen("\r\n\r\n").await.contains("te: "));
    ends.say(answer).await;
    assert!(ends.told("0\r\n\r\n").await.ends_with("2\r\nok\r\n0\r\n\r\n"));
}

/// A client and an instance, byte by byte, and the gateway between them.
struct Ends {
    _world: World,
    client: TcpStream,
    listener: TcpListener,
    instance: Option<TcpStream>,
}

impl Ends {
    async fn new() -> Self {
        let owner = Toy::hello("owner").await;
        let world = World::new(&owner, &[]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        world.write_registry(&json!([world.record("trial1", "", port)]).to_string());
        world.admin("POST", "/reload").await;
        let client = TcpStream::connect(world.address).await.unwrap();
        Self { _world: world, client, listener, instance: None }
    }

    async fn ask(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// What the client gets.
    async fn told(&mut self, end: &str) -> String {
        read_until(&mut self.client, end).await
    }

    /// What the instance gets, always on one connection.
    async fn seen(&mut self, end: &str) -> String {
        if self.instance.is_none() {
            self.instance = Some(self.listener.accept().await.unwrap().0);
        }
        read_until(self.instance.as_mut().unwrap(), end).await
    }

    async fn say(&mut self, bytes: &str) {
        self.instance.as_mut().unwrap().write_all(bytes.as_bytes()).await.unwrap();
    }
}
