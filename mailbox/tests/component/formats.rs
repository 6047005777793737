//! Mailboxes of other versions.

use std::path::PathBuf;

use remotelab_mailbox::{Inbound, Queue};

use crate::world::{World, mail, until};

fn database(world: &World) -> PathBuf {
    let root = world.folder.path().join("trial1/config/agent-mailbox");
    std::fs::create_dir_all(root.join("blobs")).unwrap();
    root.join("mailbox.db")
}

#[tokio::test]
async fn yesterdays_mailbox_opens_and_its_conversations_go_on() {
    let world = World::new().await;
    let yesterday = rusqlite::Connection::open(database(&world)).unwrap();
    yesterday.execute_batch(include_str!("fixtures/mailbox-v1.sql")).unwrap();
    drop(yesterday);

    let listed = world.desk().queue(Queue::Approved, Some(&world.trial_name())).unwrap();
    let told: Vec<_> = listed.iter().map(|mail| (mail.state, mail.subject.as_str())).collect();
    assert_eq!(told, [(Inbound::Answered, "Monthly numbers")]);
    assert_eq!(world.desk().status().unwrap().instances[0].outbox.sent, 1);
    let follow = mail("new-1@example.com", "In-Reply-To: <remotelab-1@example.com>\r\n", "And April?");
    assert_eq!(world.deliver("trial1@example.com", follow).await.0, 200);
    until("the message", || world.trial.posts().pop()).await;
    let session = world.trial.read(|book| book.sessions[0].body.clone());
    assert_eq!(session["externalTriggerId"], "email-thread:%3Cold-1%40example.com%3E");
}

#[tokio::test]
async fn a_newer_mailbox_is_left_alone() {
    let world = World::new().await;
    let newer = rusqlite::Connection::open(database(&world)).unwrap();
    newer.execute_batch("CREATE TABLE future (x); PRAGMA user_version = 99").unwrap();
    let refused = world.desk().queue(Queue::All, None).unwrap_err().to_string();
    assert!(refused.ends_with("was written by a newer version of remotelab (format 99)"), "{refused}");
    assert_eq!(world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await.0, 503);
    // Nobody else is hindered.
    assert_eq!(world.deliver("rowan@example.com", mail("m1@example.com", "", "Hi")).await.0, 200);
}
