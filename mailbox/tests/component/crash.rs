//! A process that dies between two steps leaves rows as these tests put them; the next one goes on.

use crate::relay::Mood;
use crate::world::{World, mail, until};

const TO: &str = "trial1@example.com";

/// Brings the guest's rows into the state in which a dead process left them; the relay is well again.
async fn leave(world: &mut World, sql: &str) {
    world.stop_bridge().await;
    world.relay.set(Mood::Takes);
    let database = world.folder.path().join("trial1/config/agent-mailbox/mailbox.db");
    rusqlite::Connection::open(database).unwrap().execute_batch(sql).unwrap();
}

async fn one_message_and_one_answer(world: &World) {
    until("the answer", || world.relay.mails().pop()).await;
    let desk = world.desk();
    until("the mail is done", || {
        let status = desk.status().unwrap();
        (status.instances[0].outbox.sent == 1).then_some(())
    })
    .await;
    assert_eq!((world.trial.posts().len(), world.relay.mails().len()), (1, 1));
}

#[tokio::test]
async fn after_the_mail_was_stored() {
    let mut world = World::new().await;
    world.trial.stop().await;
    world.deliver(TO, mail("m1@example.com", "", "Hi")).await;
    leave(
        &mut world,
        "UPDATE inbound SET state = 'received', facts = '{}', thread_id = NULL, due_at = 0, attempts = 0;
         DELETE FROM message_ids; DELETE FROM participants; DELETE FROM threads;",
    )
    .await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.trial.start().await;
    world.restart_bridge().await;
    one_message_and_one_answer(&world).await;
}

#[tokio::test]
async fn after_the_message_was_posted_but_not_recorded() {
    let mut world = World::new().await;
    world.deliver(TO, mail("m1@example.com", "", "Hi")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    leave(
        &mut world,
        "UPDATE inbound SET state = 'approved', session_id = NULL, run_id = NULL, submitted_at = NULL",
    )
    .await;
    world.restart_bridge().await;
    world.trial.finish(&run, "completed", "Done.");
    one_message_and_one_answer(&world).await;
}

#[tokio::test]
async fn while_the_run_was_watched() {
    let mut world = World::new().await;
    world.deliver(TO, mail("m1@example.com", "", "Hi")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    leave(&mut world, "").await;
    world.trial.finish(&run, "completed", "Done.");
    world.restart_bridge().await;
    one_message_and_one_answer(&world).await;
}

#[tokio::test]
async fn during_an_attempt_to_send() {
    for (text_out, crashes) in [(0, 0), (0, 3), (1, 0)] {
        let mut world = world_with_a_waiting_letter().await;
        leave(&mut world, &sending(text_out, crashes)).await;
        world.restart_bridge().await;
        one_message_and_one_answer(&world).await;
    }
}

#[tokio::test]
async fn twice_after_the_text_had_gone_out() {
    let mut world = world_with_a_waiting_letter().await;
    leave(&mut world, &sending(1, 1)).await;
    world.restart_bridge().await;
    let desk = world.desk();
    until("it is left to a person", || {
        (desk.status().unwrap().instances[0].outbox.unconfirmed == 1).then_some(())
    })
    .await;
    assert!(world.relay.mails().is_empty());
}

#[tokio::test]
async fn a_damaged_row_stops_nobody_else() {
    let mut world = world_with_a_waiting_letter().await;
    world.relay.set(Mood::Refuses(451));
    world.deliver(TO, mail("m2@example.com", "", "Two")).await;
    let desk = world.desk();
    until("both wait", || (desk.status().unwrap().instances[0].outbox.pending == 2).then_some(())).await;
    leave(
        &mut world,
        "UPDATE outbox SET due_at = 0; UPDATE outbox SET letter = '{\"from' WHERE rowid = 1;
         UPDATE inbound SET facts = 'x' WHERE rowid = 1;",
    )
    .await;
    world.restart_bridge().await;
    let letter = until("the other answer", || world.relay.mails().pop()).await;
    assert_eq!(letter.header("in-reply-to"), "<m2@example.com>");
    until("the damaged one is given up", || {
        (desk.status().unwrap().instances[0].outbox.dead == 1).then_some(())
    })
    .await;
}

/// An answered mail whose letter the relay put off.
async fn world_with_a_waiting_letter() -> World {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.relay.set(Mood::Refuses(451));
    world.deliver(TO, mail("m1@example.com", "", "Hi")).await;
    let desk = world.desk();
    until("an attempt", || {
        let outbox = desk.status().unwrap().instances[0].outbox;
        (outbox.pending == 1 && world.relay.attempts() > 0).then_some(())
    })
    .await;
    world
}

fn sending(text_out: u8, crashes: u8) -> String {
    format!(
        "UPDATE outbox SET state = 'sending', text_out = {text_out}, crashes = {crashes},
             lease_by = 'bridge:dead', lease_until = 99999999999999"
    )
}
