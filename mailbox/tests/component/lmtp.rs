//! Mail servers of this machine deliver over LMTP.

use std::path::PathBuf;

use remotelab_mailbox::Queue;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::dns::signed_by;
use crate::world::{World, mail, until};

/// A mail server in conversation with us.
struct Server(BufReader<UnixStream>);

impl Server {
    async fn connect(world: &World) -> Self {
        let socket = open(world);
        until("the door", || std::os::unix::net::UnixStream::connect(&socket).ok()).await;
        let mut server = Self(BufReader::new(UnixStream::connect(socket).await.unwrap()));
        assert_eq!(server.hear().await, "220 remotelab LMTP");
        server
    }

    async fn say(&mut self, lines: &str) {
        self.0.write_all(lines.as_bytes()).await.unwrap();
    }

    /// Hears one reply: its last line.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(&format!("{line}\r\n")).await;
        self.hear().await
    }
}

/// Asks for a door in the settings, and nothing more.
fn open(world: &World) -> PathBuf {
    let socket = world.folder.path().join("lmtp.sock");
    let mut settings = world.bridge_settings();
    settings["listen"] = json!([{"proto": "lmtp", "socket": socket, "mode": "660"}]);
    world.set_bridge_settings(&settings);
    socket
}

#[tokio::test]
async fn a_mail_for_two_instances_is_answered_by_each() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("From the guest.".into());
    world.owner.state.lock().unwrap().answer_at_once = Some("From the owner.".into());
    let mut server = Server::connect(&world).await;
    assert!(server.ask("LHLO mx.example.com").await.starts_with("250 SIZE 27262976"));
    // All at once, as RFC 2920 allows.
    server
        .say(
            "MAIL FROM:<owner@example.com> BODY=8BITMIME\r\nRCPT TO:<trial1@example.com>\r\n\
             RCPT TO:<nobody@example.com>\r\nRCPT TO:<rowan@example.com>\r\nDATA\r\n",
        )
        .await;
    assert_eq!(server.hear().await, "250 2.1.0 go on");
    assert_eq!(server.hear().await, "250 2.1.5 taken");
    assert!(server.hear().await.starts_with("550 5.1.1"));
    assert_eq!(server.hear().await, "250 2.1.5 taken");
    assert!(server.hear().await.starts_with("354"));
    let signed =
        signed_by("example.com", (mail("m1@example.com", "", "Hello") + ".and a dot\r\n").as_bytes());
    let stuffed = String::from_utf8(signed).unwrap().replace("\r\n.", "\r\n..");
    server.say(&format!("{stuffed}.\r\nNOOP\r\n")).await;
    for _ in 0..2 {
        assert!(server.hear().await.starts_with("250 2.0.0 mail_"));
    }
    assert_eq!(server.hear().await, "250 2.0.0 yes");
    let mut texts =
        until("both answers", || Some(world.relay.mails()).filter(|mails| mails.len() == 2)).await;
    texts.sort_by_key(crate::relay::Mail::text);
    assert_eq!([texts[0].text(), texts[1].text()], ["From the guest.", "From the owner."]);
    assert!(world.trial.posts()[0].message["text"].as_str().unwrap().ends_with("Hello\n.and a dot"));
    assert_eq!(server.ask("QUIT").await, "221 2.0.0 goodbye");
}

#[tokio::test]
async fn the_mail_server_of_this_machine_tells_what_it_saw_of_the_path() {
    let world = World::new().await;
    let policy = json!({"relayAuthserv": "mx.own.test"});
    remotelab_config::atomic::write_json(&world.places.owner_root.join("policy.json"), &policy).unwrap();
    let mut server = Server::connect(&world).await;
    server.ask("LHLO mx.own.test").await;
    let results = |spf: &str| {
        format!(
            "Authentication-Results: mx.own.test; spf={spf} smtp.mailfrom=owner@example.com\r\nReceived: by mx.own.test\r\n"
        )
    };
    let mails = [
        results("pass") + &mail("m1@x", "", "Hi"),
        results("fail") + &mail("m2@x", "", "Hi"),
        format!("Received: by mx.own.test\r\n{}{}", results("pass"), mail("m3@x", "", "Hi")),
    ];
    for mail in mails {
        for line in ["MAIL FROM:<owner@example.com>", "RCPT TO:<trial1@example.com>", "DATA"] {
            server.ask(line).await;
        }
        assert!(server.ask(&format!("{mail}.")).await.starts_with("250"));
    }
    let mut reasons = until("all are read", || {
        let reasons: Vec<_> =
            world.desk().queue(Queue::All, None).unwrap().into_iter().map(|m| m.reason).collect();
        (reasons.iter().filter(|reason| !reason.is_empty()).count() == 3).then_some(reasons)
    })
    .await;
    reasons.sort();
    assert_eq!(reasons, ["auth_failed", "auto_approved", "unproved_sender"]);
}

#[tokio::test]
async fn what_is_not_finished_is_not_there() {
    let world = World::new().await;
    let mut server = Server::connect(&world).await;
    for line in ["LHLO mx", "MAIL FROM:<>", "RCPT TO:<trial1@example.com>", "DATA"] {
        server.ask(line).await;
    }
    server.say(&mail("m1@example.com", "", "Half of it")).await;
    drop(server);
    // Called off, too large as it was announced, and too large as it turned out.
    let mut server = Server::connect(&world).await;
    for line in ["LHLO mx", "MAIL FROM:<>", "RCPT TO:<trial1@example.com>", "RSET"] {
        server.ask(line).await;
    }
    assert!(server.ask("MAIL FROM:<a@b.c> SIZE=27262977").await.starts_with("552"));
    for line in ["MAIL FROM:<a@b.c>", "RCPT TO:<trial1@example.com>", "DATA"] {
        server.ask(line).await;
    }
    let line = format!("{}\r\n", "x".repeat(998));
    server.say(&mail("m2@example.com", "", &line.repeat(27 * 1024))).await;
    assert_eq!(server.ask(".").await, "552 5.3.4 the message is too large");
    let blobs = world.folder.path().join("trial1/config/agent-mailbox/blobs");
    until("nothing is left of them", || std::fs::read_dir(&blobs).unwrap().next().is_none().then_some(()))
        .await;
    assert_eq!(world.desk().queue(Queue::All, None).unwrap(), []);
}

#[tokio::test]
async fn a_door_that_is_taken_out_of_the_settings_closes() {
    let world = World::new().await;
    let mut server = Server::connect(&world).await;
    let mut settings = world.bridge_settings();
    settings["listen"] = json!([]);
    world.set_bridge_settings(&settings);
    assert_eq!(server.hear().await, "421 4.3.2 closing, try again later");
    let socket = world.folder.path().join("lmtp.sock");
    until("nobody listens", || std::os::unix::net::UnixStream::connect(&socket).is_err().then_some(())).await;
    // What is left of the socket is no obstacle.
    Server::connect(&world).await;
}
