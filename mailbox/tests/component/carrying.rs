//! Answers that an instance has for targets of others go out as mail.

use std::path::PathBuf;

use remotelab_mailbox::Outgoing;
use serde_json::{Value, json};

use crate::relay::Mood;
use crate::world::{World, mail, until};

/// Has an answer wait in the guest, as its server would.
fn waits(world: &World, id: &str, target: Value) {
    let mut whole = json!({"to": "owner@example.com", "from": "", "subject": "Re: Numbers"});
    whole.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
    let completion =
        json!({"id": id, "state": "completed", "reply": "Done.", "taken": false, "target": whole});
    world.trial.state.lock().unwrap().completions.push(completion);
    let folder = world.folder.path().join("trial1/config/completions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.json", id.split(':').next().unwrap())), "{}").unwrap();
}

/// The words that were said of an answer.
fn said(world: &World, id: &str) -> Vec<Value> {
    let of_it = |(known, said): &(String, Value)| (known == id).then(|| said["state"].clone());
    world.trial.read(|book| book.reports.iter().filter_map(of_it).collect())
}

async fn last_word(world: &World, id: &str) -> Value {
    until("the last word", || {
        world.trial.read(|book| {
            let of_it =
                book.reports.iter().rev().find(|(known, said)| known == id && said["state"] != "sending");
            of_it.map(|(_, said)| said.clone())
        })
    })
    .await
}

#[tokio::test]
async fn two_targets_are_two_letters_and_are_reported_when_they_were_taken() {
    let world = World::new().await;
    waits(&world, "run_1:a", json!({"inReplyTo": "<x@y.test>", "references": "<w@y.test> <x@y.test>"}));
    waits(&world, "run_1:b", json!({"to": "second@example.com", "from": "trial1@example.com"}));
    let mut letters =
        until("both letters", || Some(world.relay.mails()).filter(|mails| mails.len() == 2)).await;
    letters.sort_by_key(|letter| letter.to.clone());
    assert_eq!(
        letters.iter().map(|letter| letter.to[0].as_str()).collect::<Vec<_>>(),
        ["RCPT TO:<owner@example.com>", "RCPT TO:<second@example.com>"]
    );
    let [first, second] = letters.as_slice() else { panic!() };
    assert_eq!(
        [first.header("subject"), first.header("in-reply-to"), first.header("references"), first.text()],
        ["Re: Numbers", "<x@y.test>", "<w@y.test> <x@y.test>", "Done."]
    );
    assert!(first.header("from").ends_with("<rowan+trial1@example.com>"));
    assert!(second.header("from").ends_with("<trial1@example.com>"));
    for id in ["run_1:a", "run_1:b"] {
        let last = last_word(&world, id).await;
        assert_eq!((&last["state"], &last["delivery"]["provider"]), (&json!("sent"), &json!("smtp")));
        assert_eq!(said(&world, id), ["sending", "sent"]);
    }
    assert_eq!((world.relay.mails().len(), world.trial.read(|book| book.intruders)), (2, 0));
}

#[tokio::test]
async fn what_is_told_again_is_one_letter() {
    let mut world = World::new().await;
    // A relay that takes nothing at first, and a service that dies before it could report anything.
    world.relay.set(Mood::HangsUpEarly);
    waits(&world, "run_1:a", json!({}));
    until("the letter", || world.desk().letters(None, None, 9).unwrap().pop()).await;
    world.stop_bridge().await;
    {
        let mut book = world.trial.state.lock().unwrap();
        book.completions[0]["taken"] = false.into();
        book.reports.clear();
    }
    world.relay.set(Mood::Takes);
    let letter = world.desk().letters(None, None, 9).unwrap().remove(0);
    world.desk().retry(&letter.id).unwrap();
    world.restart_bridge().await;
    assert_eq!(last_word(&world, "run_1:a").await["state"], "sent");
    assert_eq!((world.relay.mails().len(), world.desk().letters(None, None, 9).unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_letter_to_a_stranger_waits_for_a_person() {
    let world = World::new().await;
    let stranger = json!({"to": "stranger@elsewhere.test"});
    waits(&world, "run_1:a", stranger.clone());
    waits(&world, "run_2:a", stranger);
    let desk = world.desk();
    let held = until("both letters", || {
        let held = desk.letters(Some(Outgoing::Held), None, 9).unwrap();
        (held.len() == 2).then_some(held)
    })
    .await;
    assert_eq!(
        (held[0].to.as_slice(), held[0].text.as_str()),
        (&["stranger@elsewhere.test".to_owned()][..], "Done.")
    );
    let status = desk.status().unwrap();
    assert_eq!(status.instances[0].outbox.held, 2);
    let hint = "2 letters wait for a person; list them: remotelab mail outbox held";
    assert_eq!(status.diagnostics.last().map(String::as_str), Some(hint));
    assert!(world.relay.mails().is_empty());
    desk.release_letter(&held[0].id, Some("ann")).unwrap().unwrap();
    desk.reject_letter(&held[1].id, Some("ann")).unwrap().unwrap();
    assert!(
        desk.release_letter(&held[1].id, None).is_err()
            && desk.reject_letter("out_x", None).unwrap().is_none()
    );
    let mut words = [last_word(&world, "run_1:a").await, last_word(&world, "run_2:a").await];
    words.sort_by_key(|word| word["state"].to_string());
    assert_eq!((&words[0]["state"], &words[0]["lastError"]), (&json!("failed"), &json!("refused by ann")));
    assert_eq!((&words[1]["state"], world.relay.mails().len()), (&json!("sent"), 1));
    // Nobody becomes a part of anything by that.
    waits(&world, "run_3:a", json!({"to": "stranger@elsewhere.test"}));
    until("it is held, too", || desk.letters(Some(Outgoing::Held), None, 9).unwrap().pop()).await;
}

#[tokio::test]
async fn whoever_takes_part_in_a_conversation_is_written_to_at_once() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Hello.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    until("the answer", || world.relay.mails().pop()).await;
    let allowlist = world.folder.path().join("trial1/config/agent-mailbox/allowlist.json");
    std::fs::write(allowlist, "{}").unwrap();
    waits(&world, "run_1:a", json!({"inReplyTo": "<m1@example.com>"}));
    assert_eq!(last_word(&world, "run_1:a").await["state"], "sent");
    waits(&world, "run_2:a", json!({"inReplyTo": "<other@example.com>"}));
    until("it is held", || world.desk().letters(Some(Outgoing::Held), None, 9).unwrap().pop()).await;
}

#[tokio::test]
async fn a_path_of_another_tenant_and_a_foreign_sender_lead_nowhere() {
    let world = World::new().await;
    let elsewhere = world.folder.path().join("owner/agent-mailbox");
    let before = snapshot(&elsewhere);
    waits(&world, "run_1:a", json!({"mailboxRoot": elsewhere, "mailboxItemId": "mail_1"}));
    waits(&world, "run_2:a", json!({"from": "rowan@example.com"}));
    waits(&world, "run_3:a", json!({"to": "owner@example.com, second@example.com"}));
    assert_eq!(last_word(&world, "run_1:a").await["state"], "sent");
    for (id, why) in
        [("run_2:a", "from is not an address of this instance"), ("run_3:a", "to is not an e-mail address")]
    {
        assert_eq!(last_word(&world, id).await, json!({"state": "failed", "lastError": why}));
    }
    assert_eq!((world.relay.mails().len(), snapshot(&elsewhere)), (1, before));
}

#[tokio::test]
async fn an_instance_that_has_nothing_is_not_asked() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Hello.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    until("the answer", || world.relay.mails().pop()).await;
    assert_eq!(world.trial.read(|book| book.asked_for_completions), 0);
    waits(&world, "run_1:a", json!({}));
    assert_eq!(last_word(&world, "run_1:a").await["state"], "sent");
}

/// The files of a mailbox, the database apart, which its worker has open.
fn snapshot(folder: &std::path::Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<(PathBuf, u64)> = files
        .filter(|file| !file.file_name().to_string_lossy().starts_with("mailbox.db"))
        .map(|file| (file.path(), file.metadata().unwrap().len()))
        .collect();
    all.sort();
    all
}
