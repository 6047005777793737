//! Looking at stored mail, trying again, reading anew, deleting.

use std::time::Duration;

use remotelab_mailbox::{Deleted, Error, Inbound, Queue};
use serde_json::json;

use crate::dns::signed_by;
use crate::relay::Mood;
use crate::world::{World, automatic, mail, until};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_mail_is_shown_with_its_text_history_and_answer() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    let raw = signed_by("example.com", include_bytes!("../corpus/03-attachment.eml"));
    let (_, taken) = world.deliver_as_it_is("trial1@example.com", raw.clone()).await;
    let id = taken["id"].as_str().unwrap();
    let desk = world.desk();
    until("the answer is sent", || (desk.status().unwrap().instances[0].outbox.sent == 1).then_some(()))
        .await;
    let shown = serde_json::to_value(desk.show(id).unwrap()).unwrap();
    assert_eq!(
        json!([shown["status"], shown["door"], shown["mailFrom"], shown["facts"]["from"], shown["size"]]),
        json!(["reply_sent", "webhook", "owner@example.com", "owner@example.com", raw.len()])
    );
    assert_eq!(shown["files"][1], json!({"name": "photo.png", "mimeType": "image/png", "size": 68}));
    assert_eq!(
        json!([shown["answer"]["kind"], shown["answer"]["state"], shown["answer"]["text"]]),
        json!(["reply", "sent", "Done."])
    );
    let steps: Vec<_> = shown["history"].as_array().unwrap().iter().map(|step| &step["event"]).collect();
    assert_eq!(steps.first().unwrap(), &"ingested");
    assert_eq!(steps.last().unwrap(), &"answered");
    assert_eq!(desk.raw(id).unwrap(), raw);
    assert!(matches!(desk.show("mail_none"), Err(Error::NoMail(_))));
    world.deliver("trial1@example.com", mail("m2@example.com", "", "Later")).await;
    let listed = desk.list(Queue::All, None, 1).unwrap();
    assert_eq!((listed.len(), listed[0].subject.as_str()), (1, "Monthly numbers"));
}

#[tokio::test]
async fn what_waits_is_tried_at_once_when_asked_for() {
    let mut world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.trial.stop().await;
    world.relay.set(Mood::Refuses(550));
    let (_, taken) = world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    let id = taken["id"].as_str().unwrap();
    let desk = world.desk();
    until("a failed attempt", || desk.list(Queue::All, None, 9).unwrap().pop()?.last_error).await;
    world.trial.start().await;
    desk.retry(id).unwrap();
    // Its answer is refused; once the relay thinks better of it, the letter is sent again.
    until("its letter is dead", || (desk.status().unwrap().instances[0].outbox.dead == 1).then_some(()))
        .await;
    assert!(matches!(desk.retry(id), Err(Error::NotNow { .. })));
    world.relay.set(Mood::Takes);
    let letter = desk.show(id).unwrap().answer.unwrap().id;
    desk.retry(&letter).unwrap();
    until("the answer", || world.relay.mails().pop()).await;
}

#[tokio::test]
async fn a_mail_is_read_anew_with_the_settings_of_now() {
    let world = World::new().await;
    let desk = world.desk();
    let stranger = mail("m1@example.com", "", "Hi").replace("owner@example.com", "new@example.com");
    let (_, taken) = world.deliver("trial1@example.com", stranger).await;
    let id = taken["id"].as_str().unwrap();
    assert_eq!(taken["disposition"], "quarantined");
    desk.allow_add(Some(&world.trial_name()), "new@example.com").unwrap();
    assert_eq!(desk.replay(id).unwrap().state, Inbound::Approved);
    let run = until("the run", || world.trial.running().pop()).await;
    assert!(matches!(desk.replay(id), Err(Error::NotNow { .. })));
    world.trial.finish(&run, "completed", "Once.");
    until("the answer", || world.relay.mails().pop()).await;
    // Again: another message in the same session.
    desk.replay(id).unwrap();
    let run = until("the second run", || world.trial.running().pop()).await;
    world.trial.finish(&run, "completed", "Twice.");
    until("the second answer", || world.relay.mails().into_iter().nth(1)).await;
    assert_eq!(world.trial.read(|book| (book.sessions.len(), book.sessions[0].posts.len())), (1, 2));
}

#[tokio::test]
async fn a_deleted_mail_does_not_come_back() {
    let world = World::new().await;
    let desk = world.desk();
    desk.automation_configure(None, automatic(false)).unwrap();
    let raw = mail("m1@example.com", "", "Hi");
    let (_, taken) = world.deliver("trial1@example.com", raw.clone()).await;
    let id = taken["id"].as_str().unwrap();
    assert_eq!(desk.delete(id).unwrap(), Deleted { deleted: 1, dry_run: false });
    assert!(matches!(desk.delete(id), Err(Error::NoMail(_))));
    let (status, again) = world.deliver("trial1@example.com", raw).await;
    assert_eq!(
        (status, &again["duplicate"], &again["id"], &again["disposition"]),
        (200, &json!(true), &taken["id"], &json!("deleted"))
    );
    assert_eq!(desk.list(Queue::All, None, 9).unwrap(), []);
}

#[tokio::test]
async fn only_what_is_old_and_done_with_is_pruned() {
    let world = World::new().await;
    let desk = world.desk();
    desk.automation_configure(None, automatic(false)).unwrap();
    let stranger = |id: &str| mail(id, "", "Hi").replace("owner@", "stranger@");
    world.deliver("trial1@example.com", stranger("old@x")).await;
    world.deliver("trial1@example.com", mail("waits@x", "", "Hi")).await;
    world.pass_time(91 * DAY);
    world.deliver("trial1@example.com", stranger("new@x")).await;
    let blobs = || {
        let folder = world.folder.path().join("trial1/config/agent-mailbox/blobs");
        std::fs::read_dir(folder)
            .unwrap()
            .flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap())
            .count()
    };
    assert_eq!(desk.prune(90 * DAY, None, true).unwrap(), Deleted { deleted: 1, dry_run: true });
    assert_eq!(desk.prune(90 * DAY, None, false).unwrap(), Deleted { deleted: 1, dry_run: false });
    assert_eq!(desk.prune(90 * DAY, None, false).unwrap().deleted, 0);
    assert_eq!(desk.list(Queue::All, None, 9).unwrap().len(), 2);
    // The raw mail goes once nobody can be about to name it.
    assert_eq!(blobs(), 3);
    let folder = world.folder.path().join("trial1/config/agent-mailbox/blobs");
    for entry in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let file = std::fs::File::open(file.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::now() - DAY).unwrap();
        }
    }
    desk.prune(90 * DAY, None, false).unwrap();
    assert_eq!(blobs(), 2);
}
