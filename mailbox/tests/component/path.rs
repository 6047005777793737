//! The way of a mail: in, into the session, and back as an answer.

use serde_json::json;

use crate::dns::signed_by;
use crate::world::{OWNER_TOKEN, World, answer, http, mail, until};

#[tokio::test]
async fn a_mail_to_a_guest_becomes_a_message_there_and_its_answer_a_mail() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once =
        Some("Here is the <private>x</private>summary.".into());
    let (status, body) =
        world.deliver("rowan+trial1@example.com", mail("plain-1@example.com", "", "Please sum up.")).await;
    assert_eq!((status, &body["duplicate"], &body["disposition"]), (200, &json!(false), &json!("approved")));
    let letter = until("the answer", || world.relay.mails().into_iter().next()).await;

    let session = world.trial.read(|book| book.sessions[0].clone());
    let item = body["id"].as_str().unwrap();
    assert_eq!(session.body["externalTriggerId"], "email-thread:%3Cplain-1%40example.com%3E");
    assert_eq!(session.body["sourceId"], "email");
    assert_eq!(session.body["sourceName"], "Email");
    assert_eq!(session.body["group"], "Mail");
    assert_eq!(session.body["name"], "Monthly numbers");
    assert_eq!(session.body["tool"], "claude", "the first executor that is there");
    let message = &session.posts[0].message;
    assert_eq!(message["requestId"], format!("mailbox_reply_{item}"));
    assert_eq!(message["sourceContext"]["itemId"], item);
    assert_eq!(message["sourceContext"]["channel"], "email");
    assert_eq!(
        message["text"],
        "Inbound email.\n- From: owner@example.com\n- Subject: Monthly numbers\n\
         - Date: Tue, 10 Mar 2026 02:10:00 +0000\n- Message-ID: <plain-1@example.com>\n\n\
         User message:\nPlease sum up."
    );
    assert!(letter.from.starts_with("MAIL FROM:<rowan+trial1.b-"), "{}", letter.from);
    assert_eq!(letter.to, ["RCPT TO:<owner@example.com>"]);
    assert!(letter.header("from").ends_with("<rowan+trial1@example.com>"));
    assert_eq!(letter.header("subject"), "Re: Monthly numbers");
    assert_eq!(letter.header("in-reply-to"), "<plain-1@example.com>");
    assert_eq!(letter.header("references"), "<plain-1@example.com>");
    assert_eq!(letter.header("auto-submitted"), "auto-replied");
    assert_eq!(letter.text(), "Here is the summary.");
    assert_eq!(world.owner.read(|book| (book.sessions.len(), book.intruders)), (0, 0));
    assert_eq!(world.trial.read(|book| book.intruders), 0);
}

#[tokio::test]
async fn an_answer_to_our_answer_continues_the_session() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    let first = until("the answer", || world.relay.mails().into_iter().next()).await;
    assert!(first.header("from").ends_with("<trial1@example.com>"), "the spelling that was used");
    // Only our id, and only in In-Reply-To.
    let extra = format!("In-Reply-To: {}\r\n", first.header("message-id"));
    world.deliver("trial1@example.com", mail("m2@example.com", &extra, "Two")).await;
    let second = until("the second answer", || world.relay.mails().into_iter().nth(1)).await;
    // The id that the relay told in its last line is known too.
    let extra = "References: <relay-1@relay.test>\r\n";
    world.deliver("trial1@example.com", mail("m3@example.com", extra, "Three")).await;
    until("the third answer", || world.relay.mails().into_iter().nth(2)).await;
    assert_eq!(second.header("references"), format!("{} <m2@example.com>", first.header("message-id")));
    assert_eq!(world.trial.read(|book| book.sessions.len()), 1);
    assert_eq!(world.trial.posts().len(), 3);
}

#[tokio::test]
async fn nobody_gets_into_a_conversation_by_naming_its_id() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    world.deliver("trial1@example.com", mail("m1@example.com", "", "Secret")).await;
    until("the answer", || world.relay.mails().into_iter().next()).await;
    let intruder = mail("m2@example.com", "References: <m1@example.com>\r\n", "What was it?")
        .replace("Owner <owner@example.com>", "second@example.com");
    let same_id =
        mail("m1@example.com", "", "And this?").replace("Owner <owner@example.com>", "second@example.com");
    world.deliver("trial1@example.com", intruder).await;
    world.deliver("trial1@example.com", same_id).await;
    until("all answers", || (world.relay.mails().len() == 3).then_some(())).await;
    assert_eq!(world.trial.read(|book| book.sessions.len()), 3);
}

#[tokio::test]
async fn an_id_that_two_people_use_leads_each_to_his_own_conversation() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Done.".into());
    let by_second = |mail: String| mail.replace("Owner <owner@example.com>", "second@example.com");
    let follow = |id: &str| mail(id, "References: <m1@example.com>\r\n", "And April?");
    for (n, mail) in [
        mail("m1@example.com", "", "One"),
        by_second(mail("m1@example.com", "", "Two")),
        follow("m2@example.com"),
        by_second(follow("m3@example.com")),
    ]
    .into_iter()
    .enumerate()
    {
        world.deliver("trial1@example.com", mail).await;
        until("the answer", || world.relay.mails().into_iter().nth(n)).await;
    }
    let posts = world.trial.read(|book| book.sessions.iter().map(|s| s.posts.len()).collect::<Vec<_>>());
    assert_eq!(posts, [2, 2]);
}

#[tokio::test]
async fn two_mails_during_a_run_are_both_answered() {
    let world = World::new().await;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    let first = until("the run", || world.trial.running().pop()).await;
    let follow = |id: &str, text: &str| mail(id, "References: <m1@example.com>\r\n", text);
    world.deliver("trial1@example.com", follow("m2@example.com", "Two")).await;
    world.deliver("trial1@example.com", follow("m3@example.com", "Three")).await;
    until("both are queued", || (world.trial.posts().len() == 3).then_some(())).await;
    world.trial.finish(&first, "completed", "First answer");
    until("the first answer", || world.relay.mails().pop()).await;
    let merged = until("the merged run", || world.trial.running().pop()).await;
    world.trial.finish(&merged, "completed", "Second answer");
    until("both answers", || (world.relay.mails().len() == 2).then_some(())).await;
    let answers: Vec<_> =
        world.relay.mails().iter().map(|mail| (mail.header("in-reply-to"), mail.text())).collect();
    assert_eq!(
        answers,
        [
            ("<m1@example.com>".to_owned(), "First answer".to_owned()),
            ("<m3@example.com>".to_owned(), "Second answer".to_owned()),
        ]
    );
    let desk = world.desk();
    until("no mail is stuck", || {
        let states: Vec<_> = desk.queue(Default::default(), None).unwrap().iter().map(|s| s.status).collect();
        (states == ["reply_sent"; 3]).then_some(())
    })
    .await;
    assert_eq!(world.trial.read(|book| book.histories_read), 0);
}

#[tokio::test]
async fn mails_that_wait_at_an_older_chat_server_are_answered_too() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().is_old = true;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "One")).await;
    let first = until("the run", || world.trial.running().pop()).await;
    let follow = mail("m2@example.com", "References: <m1@example.com>\r\n", "Two");
    world.deliver("trial1@example.com", follow).await;
    until("it is queued", || (world.trial.posts().len() == 2).then_some(())).await;
    world.trial.finish(&first, "completed", "First answer");
    until("the first answer", || world.relay.mails().pop()).await;
    let second = until("the second run", || world.trial.running().pop()).await;
    world.trial.finish(&second, "completed", "Second answer");
    until("both answers", || (world.relay.mails().len() == 2).then_some(())).await;
}

#[tokio::test]
async fn an_answer_waits_for_its_review_for_what_was_missing_and_for_files() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().reviews = true;
    world.deliver("trial1@example.com", mail("m1@example.com", "", "The report, please")).await;
    let run = until("the run", || world.trial.running().pop()).await;
    world.trial.finish(&run, "completed", "Here it is.");
    // The way of another mail from here to its end is longer than a look at the first.
    world.owner.state.lock().unwrap().answer_at_once = Some("Yes.".into());
    world.deliver("rowan@example.com", mail("m2@example.com", "", "Are you there?")).await;
    until("the other answer", || world.relay.mails().pop()).await;
    assert_eq!(world.relay.mails().len(), 1, "nothing is told that may be half of it");
    let next = {
        let mut book = world.trial.state.lock().unwrap();
        let next = book.continue_run(&run);
        book.runs.get_mut(&run).unwrap().reviewed = false;
        next
    };
    world.trial.state.lock().unwrap().runs.get_mut(&next).unwrap().files = vec!["report.md".into()];
    world.trial.finish(&next, "completed", "And this was missing.");
    world.trial.state.lock().unwrap().runs.get_mut(&next).unwrap().reviewed = false;
    let answer = until("the answer", || world.relay.mails().into_iter().nth(1)).await;
    assert_eq!(answer.text(), "Here it is.\n\nAnd this was missing.");
    assert_eq!(world.relay.mails().len(), 2);
}

#[tokio::test]
async fn files_of_a_mail_reach_the_session_byte_for_byte() {
    let world = World::new().await;
    let raw = include_bytes!("../corpus/03-attachment.eml");
    assert_eq!(world.deliver("trial1@example.com", raw.as_slice()).await.0, 200);
    let post = until("the message", || world.trial.posts().pop()).await;
    let names: Vec<_> = post.files.iter().map(|(name, kind, _)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(names, [("invoice; march.pdf", "application/pdf"), ("photo.png", "image/png")]);
    assert_eq!(post.files[1].2, (0..68).collect::<Vec<u8>>());
    assert_eq!(post.message["sourceContext"]["subject"], "Invoice and photo");
    assert!(post.message["text"].as_str().unwrap().contains("- photo.png (image/png, 68 bytes)"));
}

#[tokio::test]
async fn mail_to_the_owner_stays_with_the_owner() {
    let world = World::new().await;
    world.owner.state.lock().unwrap().answer_at_once = Some("Yes.".into());
    // The legacy JSON form.
    let raw = signed_by("example.com", mail("m1@example.com", "", "Hello").as_bytes());
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, raw);
    let call = http()
        .post(world.url("/cloudflare-email/webhook"))
        .header("authorization", format!("Bearer {}", world.webhook_token()))
        .json(&json!({
            "provider": "cloudflare_email_worker",
            "envelope": {"mailFrom": "owner@example.com", "rcptTo": "Rowan@example.com"},
            "rawBase64": encoded,
        }));
    assert_eq!(answer(call).await.0, 200);
    let letter = until("the answer", || world.relay.mails().into_iter().next()).await;
    assert_eq!(letter.header("from"), "Rowan <rowan@example.com>");
    assert_eq!(world.owner.posts().len(), 1);
    assert_eq!(world.trial.read(|book| (book.sessions.len(), book.intruders)), (0, 0));
    let guest_root = world.folder.path().join("trial1/config/agent-mailbox");
    assert!(!guest_root.exists(), "nothing of the owner's mail touches the guest");
    assert_ne!(OWNER_TOKEN, world.webhook_token());
}
