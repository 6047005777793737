//! What an answer carries, and what comes back for it.

use remotelab_mailbox::{Outgoing, Queue};
use serde_json::json;

use crate::chat::content;
use crate::world::{World, mail, until};

#[tokio::test]
async fn files_of_a_run_are_attached_byte_for_byte() {
    let world = World::new().await;
    world.deliver("trial1@example.com", mail("m1@x", "", "Make a table")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    {
        let mut book = world.trial.state.lock().unwrap();
        let names = ["table; März.csv", "huge.bin", "gone.txt", "b.bin", "../auth.json"];
        book.runs.get_mut(&run).unwrap().files = names.iter().map(|name| (*name).to_owned()).collect();
    }
    world.trial.finish(&run, "completed", "# Done\n\nIt is **attached**.");
    let letter = until("the answer", || world.relay.mails().pop()).await;
    assert_eq!(
        letter.text(),
        "# Done\n\nIt is **attached**.\n\n(Files in the session: table; März.csv, huge.bin, gone.txt, ../auth.json)"
    );
    assert_eq!(letter.files(), [("b.bin".to_owned(), content("b.bin"))]);
    let parsed = letter.parsed();
    let html = parsed.body_html(0).unwrap();
    assert!(html.contains("<h1>Done</h1>") && html.contains("<strong>attached</strong>"), "{html}");

    // Files without a word are an answer, too.
    let extra = format!("In-Reply-To: {}\r\n", letter.header("message-id"));
    world.deliver("trial1@example.com", mail("m2@x", &extra, "And another")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    world.trial.state.lock().unwrap().runs.get_mut(&run).unwrap().files = vec!["c.bin".into()];
    world.trial.finish(&run, "completed", "");
    let letter = until("the second answer", || world.relay.mails().into_iter().nth(1)).await;
    assert_eq!((letter.text().as_str(), letter.files().len()), ("Attached: c.bin", 1));
    // What a letter carries outlives the mails.
    world.desk().prune(std::time::Duration::ZERO, None, false).unwrap();
}

#[tokio::test]
async fn an_answer_to_the_reply_address_comes_back_by_the_address_alone() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.deliver("trial1@example.com", mail("m1@x", "", "One")).await;
    let letter = until("the answer", || world.relay.mails().pop()).await;
    let reply_to = letter.header("reply-to");
    let address = reply_to.rsplit_once('<').unwrap().1.trim_end_matches('>').to_owned();
    assert!(address.starts_with("rowan+trial1.r-"), "{address}");
    // A relay changed its case, and no id is left.
    world.deliver(&address.to_uppercase(), mail("m2@x", "", "Two")).await;
    until("its answer", || world.relay.mails().into_iter().nth(1)).await;
    // Another permitted person who was forwarded the mail may join; a stranger may not.
    let second = mail("m3@x", "", "Three").replace("owner@", "second@");
    world.deliver(&address, second).await;
    until("the third answer", || world.relay.mails().into_iter().nth(2)).await;
    assert_eq!(world.trial.read(|book| book.sessions.len()), 1);
    let stranger = mail("m4@x", "", "Four").replace("owner@example.com", "eve@evil.test");
    world.deliver(&address, stranger).await;
    let forged = address.replace(".r-", ".r-a");
    world.deliver(&forged, mail("m5@x", "", "Five")).await;
    until("the fifth answer", || world.relay.mails().into_iter().nth(3)).await;
    assert_eq!(world.trial.read(|book| book.sessions.len()), 2);
    assert_eq!(world.desk().queue(Queue::Quarantine, None).unwrap().len(), 1);
}

fn report(to: &str, status: &str, original: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.test\r\nTo: {to}\r\nSubject: failed\r\nMessage-ID: <dsn-{}@mx.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
         Final-Recipient: rfc822; owner@example.com\r\nAction: failed\r\nStatus: {status}\r\n\r\n\
         Final-Recipient: rfc822; second@example.com\r\nAction: failed\r\nStatus: {status}\r\n\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original}\r\n\r\n--b--\r\n",
        rand::random::<u32>()
    )
}

async fn deliver_report(world: &World, to: &str, raw: String) {
    let call = crate::world::http()
        .post(world.url("/cloudflare-email/webhook"))
        .bearer_auth(world.webhook_token())
        .header("content-type", "message/rfc822")
        .header("x-envelope-from", "")
        .header("x-envelope-to", to)
        .body(raw);
    assert_eq!(crate::world::answer(call).await.1["disposition"], "noted");
}

#[tokio::test]
async fn a_bounce_finds_its_letter_and_stops_the_next_until_the_sender_writes_again() {
    let world = World::new().await;
    let desk = world.desk();
    world.deliver("trial1@example.com", mail("m1@x", "", "One")).await;
    let first = until("the run", || world.trial.running().pop()).await;
    world.deliver("trial1@example.com", mail("m2@x", "", "Two")).await;
    let second = until("the other run", || world.trial.running().into_iter().find(|run| *run != first)).await;
    world.trial.finish(&first, "completed", "Done.");
    let letter = until("the answer", || world.relay.mails().pop()).await;
    let bounce = letter.from.split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned();
    let states = || desk.status().unwrap().instances[0].outbox;
    // Whoever knows the letter's id alone can say that it came back, and no more.
    deliver_report(
        &world,
        "trial1@example.com",
        report("trial1@example.com", "5.1.1", &letter.header("message-id")),
    )
    .await;
    assert_eq!((states().bounced, states().sent), (1, 0));
    let shown = |id: &str| desk.show(id).unwrap();
    let answered = desk
        .queue(Queue::Approved, None)
        .unwrap()
        .into_iter()
        .find(|mail| mail.session_id.is_some() && mail.state.as_str() == "answered")
        .unwrap();
    assert_eq!(shown(&answered.id).answer.unwrap().state, Outgoing::Bounced);
    assert!(shown(&answered.id).history.iter().any(|step| step.event == "bounced"));
    // By its own address it is believed, about its own recipient.
    deliver_report(&world, &bounce, report(&bounce, "5.1.1", "<unknown@x>")).await;
    world.trial.finish(&second, "completed", "Done, too.");
    until("it is not sent", || (states().dead == 1).then_some(())).await;
    assert_eq!(world.relay.mails().len(), 1);
    // Whoever writes is there.
    world.deliver("trial1@example.com", mail("m3@x", "", "Three")).await;
    let third = until("the run", || world.trial.running().pop()).await;
    world.trial.finish(&third, "completed", "Welcome back.");
    let letter = until("the answer", || world.relay.mails().into_iter().nth(1)).await;
    assert_eq!(letter.text(), "Welcome back.");
}

#[tokio::test]
async fn only_proved_senders_are_told_of_failures() {
    let world = World::new().await;
    let (_, taken) = world.deliver_as_it_is("trial1@example.com", mail("m1@x", "", "Try")).await;
    world.desk().approve(taken["id"].as_str().unwrap(), None).unwrap();
    let run = until("the run", || world.trial.running().pop()).await;
    world.trial.finish(&run, "failed", "");
    let failed = |count: usize| {
        let listed = world.desk().queue(Queue::Approved, None).unwrap();
        (listed.iter().filter(|mail| mail.state.as_str() == "failed").count() == count).then_some(())
    };
    until("its end", || failed(1)).await;
    remotelab_config::atomic::write_json(
        &world.places.owner_root.join("policy.json"),
        &json!({"silent": true}),
    )
    .unwrap();
    world.deliver("trial1@example.com", mail("m2@x", "", "Try")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    world.trial.finish(&run, "failed", "");
    until("its end", || failed(2)).await;
    assert_eq!((world.relay.attempts(), world.desk().status().unwrap().instances[0].outbox.pending), (0, 0));
}
