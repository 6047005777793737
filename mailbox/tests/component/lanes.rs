//! What hangs keeps nobody but itself waiting.

use remotelab_mailbox::Queue;

use crate::world::{World, mail, until};

#[tokio::test]
async fn a_session_that_hangs_stops_nothing_else() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().hangs_at = Some("never".into());
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Say never")).await;
    until("it is under way", || world.trial.read(|book| book.sessions.first().map(|_| ()))).await;
    let follow = mail("m2@example.com", "References: <m1@example.com>\r\n", "And then?");
    world.deliver("trial1@example.com", follow).await;
    world.deliver("trial1@example.com", mail("m3@example.com", "", "Another matter")).await;
    let answer = until("the other's answer", || world.relay.mails().pop()).await;
    assert_eq!(answer.header("in-reply-to"), "<m3@example.com>");
    // What belongs to the conversation that hangs waits for it.
    assert_eq!(world.trial.posts().len(), 1);
    let stranger = mail("m4@example.com", "", "Hi").replace("owner@", "stranger@");
    world.deliver("trial1@example.com", stranger).await;
    let desk = world.desk();
    until("it is read", || desk.queue(Queue::Quarantine, None).unwrap().pop()).await;
}

#[tokio::test]
async fn an_instance_that_hangs_stops_no_other() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().hangs_at = Some("Hi".into());
    world.owner.state.lock().unwrap().answer_at_once = Some("Done.".into());
    // A large one, too: the turns of those in memory are not all the hanging one's.
    let large = mail("m1@example.com", "", &format!("Hi {}", "x".repeat(2 << 20)));
    world.deliver("trial1@example.com", large).await;
    for n in 0..6 {
        world.deliver("trial1@example.com", mail(&format!("t{n}@example.com"), "", "Hi")).await;
    }
    let large = mail("m2@example.com", "", &"x".repeat(2 << 20));
    world.deliver("rowan@example.com", large).await;
    until("the owner's answer", || world.relay.mails().pop()).await;
    assert!(world.trial.posts().is_empty());
}
