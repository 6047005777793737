//! What goes wrong: servers that are down, relays that refuse, processes that die.

use std::time::Duration;

use remotelab_mailbox::{Inbound, Outgoing, Queue, SendOptions};

use crate::relay::Mood;
use crate::world::{World, mail, until};

#[tokio::test]
async fn mail_waits_for_a_chat_server_that_is_down() {
    let mut world = World::new().await;
    world.trial.stop().await;
    let desk = world.desk();
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    world
        .deliver("trial1@example.com", mail("m2@example.com", "References: <m1@example.com>\r\n", "Two"))
        .await;
    until("a failed attempt", || desk.queue(Queue::Approved, None).unwrap().pop()?.last_error).await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.trial.start().await;
    world.pass_time(Duration::from_secs(60));
    until("both answers", || (world.relay.mails().len() == 2).then_some(())).await;
    let texts: Vec<_> = world.trial.posts().iter().map(|post| post.message["text"].to_string()).collect();
    assert!(texts[0].contains("One") && texts[1].contains("Two"), "in the order they came");
}

#[tokio::test]
async fn a_run_that_fails_is_told_once_in_one_sentence() {
    let world = World::new().await;
    for (n, id) in ["m1@example.com", "m2@example.com"].into_iter().enumerate() {
        world.deliver("trial1@example.com", mail(id, "References: <m1@example.com>\r\n", "Try")).await;
        let run = until("the run", || world.trial.running().pop()).await;
        world.trial.finish(&run, if n == 0 { "failed" } else { "cancelled" }, "");
        let desk = world.desk();
        until("its end", || {
            let failed = |summary: &&remotelab_mailbox::Summary| summary.state == Inbound::Failed;
            (desk.queue(Queue::Approved, None).unwrap().iter().filter(failed).count() == n + 1).then_some(())
        })
        .await;
    }
    let letters = until("the notice", || Some(world.relay.mails()).filter(|mails| !mails.is_empty())).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].text().replace("=\r\n", ""),
        "I am sorry, I could not finish this; please answer this mail to let me try again."
    );
}

#[tokio::test]
async fn a_failed_mail_can_be_run_again() {
    let world = World::new().await;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Try")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    world.trial.finish(&run, "failed", "");
    until("the notice", || world.relay.mails().pop()).await;
    let desk = world.desk();
    let failed = desk.queue(Queue::Approved, None).unwrap().remove(0);
    desk.release(&failed.id, None).unwrap();
    let again = until("another run", || world.trial.running().pop()).await;
    world.trial.finish(&again, "completed", "Now it worked.");
    let answer = until("the answer", || world.relay.mails().into_iter().nth(1)).await;
    assert_eq!(answer.text(), "Now it worked.");
    assert_eq!(world.trial.read(|book| book.sessions.len()), 1);
}

#[tokio::test]
async fn a_relay_that_is_busy_is_tried_again_and_one_that_refuses_is_not() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    let desk = world.desk();
    let outbox = || desk.status().unwrap().instances[0].outbox;
    for mood in [Mood::Refuses(451), Mood::HangsUpEarly] {
        world.relay.set(mood);
        let id = format!("{mood:?}@example.com").replace(['(', ')'], "");
        let before = outbox().sent;
        world.deliver("trial1@example.com", mail(&id, "", "Hi")).await;
        until("an attempt", || (outbox().pending == 1).then_some(())).await;
        world.relay.set(Mood::Takes);
        until("it went", || {
            world.pass_time(Duration::from_secs(40));
            (outbox().sent == before + 1).then_some(())
        })
        .await;
    }
    world.relay.set(Mood::Refuses(550));
    world.deliver("trial1@example.com", mail("m3@example.com", "", "Hi")).await;
    until("it is dead", || (outbox().dead == 1).then_some(())).await;
    world.relay.set(Mood::HangsUpLate);
    world.deliver("trial1@example.com", mail("m4@example.com", "", "Hi")).await;
    until("nobody knows", || (outbox().unconfirmed == 1).then_some(())).await;
    assert_eq!(world.relay.mails().len(), 2);
}

#[tokio::test]
async fn a_restart_in_the_middle_loses_nothing_and_doubles_nothing() {
    let mut world = World::new().await;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    world.restart_bridge().await;
    world.trial.finish(&run, "completed", "Done.");
    until("the answer", || world.relay.mails().pop()).await;
    world.restart_bridge().await;
    let (_, again) = world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    assert_eq!((&again["duplicate"], &again["disposition"]), (&true.into(), &"answered".into()));
    world.deliver("trial1@example.com", mail("m2@example.com", "", "Other")).await;
    until("the other run", || world.trial.running().pop()).await;
    assert_eq!((world.trial.posts().len(), world.relay.mails().len()), (2, 1));
}

#[tokio::test]
async fn a_second_bridge_on_the_same_mailboxes_is_refused() {
    let world = World::new().await;
    let options = remotelab_mailbox::Options {
        bind: ([127, 0, 0, 1], 0).into(),
        places: world.places.clone(),
        env: world.env(),
        clock: world.clock(),
    };
    let second = remotelab_mailbox::serve(options, tokio_util::sync::CancellationToken::new()).await;
    assert!(second.unwrap_err().to_string().starts_with("another mail bridge serves"));
}

#[tokio::test]
async fn a_recipient_that_is_refused_keeps_it_from_no_other() {
    let world = World::without_bridge().await;
    let options = SendOptions {
        to: vec!["a@y.test".into(), "refused@y.test".into(), "b@y.test".into()],
        text: "Hello".into(),
        subject: "Greetings".into(),
        ..SendOptions::default()
    };
    world.relay.set(Mood::RefusesOne(550));
    let sent = world.desk().send(options.clone()).await.unwrap();
    assert_eq!(sent.state, Outgoing::Sent);
    assert!(sent.response_message.contains("refused for refused@y.test"), "{}", sent.response_message);
    assert_eq!(world.relay.mails()[0].to, ["RCPT TO:<a@y.test>", "RCPT TO:<b@y.test>"]);

    // One that may be taken later is tried alone, under the same id.
    world.relay.set(Mood::RefusesOne(451));
    assert_eq!(world.desk().send(options).await.unwrap().state, Outgoing::Sent);
    world.relay.set(Mood::Takes);
    world.pass_time(Duration::from_secs(40));
    let (bridge, stop) = world.start_bridge().await;
    let mails = until("the rest", || Some(world.relay.mails()).filter(|mails| mails.len() == 3)).await;
    assert_eq!(mails[2].to, ["RCPT TO:<refused@y.test>"]);
    assert_eq!(mails[2].header("message-id"), mails[1].header("message-id"));
    assert_eq!(mails[2].header("to"), "a@y.test, refused@y.test, b@y.test");
    stop.cancel();
    bridge.wait().await;
}

#[tokio::test]
async fn a_mail_sent_by_hand_goes_out_or_waits_for_the_bridge() {
    let world = World::without_bridge().await;
    let options = SendOptions {
        to: vec!["x@y.test".into()],
        text: "Hello".into(),
        subject: "Greetings".into(),
        ..SendOptions::default()
    };
    let sent = world.desk().send(options.clone()).await.unwrap();
    assert_eq!(
        (sent.state, sent.status_code, sent.from.as_str()),
        (Outgoing::Sent, 250, "rowan@example.com")
    );
    world.relay.set(Mood::Refuses(451));
    let waiting = world.desk().send(options.clone()).await.unwrap();
    assert_eq!((waiting.state, waiting.status_code), (Outgoing::Pending, 451));
    let bad = SendOptions { to: vec!["x@y.test\r\nBcc: a@b.c".into()], ..options.clone() };
    assert!(world.desk().send(bad).await.is_err());
    assert_eq!(world.relay.mails().len(), 1);
    // A bridge that runs does not take it out of our hands.
    let (bridge, stop) = world.start_bridge().await;
    world.relay.set(Mood::Takes);
    for n in 2..12 {
        let sent = world.desk().send(options.clone()).await.unwrap();
        assert_eq!((sent.state, sent.status_code, world.relay.mails().len()), (Outgoing::Sent, 250, n));
    }
    stop.cancel();
    bridge.wait().await;
}
