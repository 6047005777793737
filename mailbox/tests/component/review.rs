//! Who may give work, and what a person decides about the rest.

use remotelab_mailbox::{Error, InitOptions, Queue, Source};

use crate::world::{World, automatic, mail, until};

#[tokio::test]
async fn permitted_mail_waits_for_review_unless_told_otherwise() {
    let world = World::new().await;
    let desk = world.desk();
    desk.automation_configure(None, automatic(false)).unwrap();
    let (_, body) = world.deliver("trial1@example.com", mail("m1@example.com", "", "Hi")).await;
    assert_eq!(body["disposition"], "pending_review");
    let waiting = desk.queue(Queue::Review, Some(&world.trial_name())).unwrap();
    assert_eq!((waiting.len(), waiting[0].status), (1, "pending_manual_review"));
    assert_eq!(waiting[0].target_instance, "trial1");
    assert!(world.trial.posts().is_empty());
    let approved = desk.approve(&waiting[0].id, None).unwrap();
    assert_eq!(approved.status, "approved_for_ai");
    until("the message", || world.trial.posts().pop()).await;
    assert!(matches!(desk.approve(&waiting[0].id, None), Err(Error::NotNow { .. })));
    assert!(matches!(desk.approve("mail_none", None), Err(Error::NoMail(_))));
}

#[tokio::test]
async fn a_stranger_is_held_and_can_be_released_or_rejected() {
    let world = World::new().await;
    let desk = world.desk();
    let from = |who: &str, id: &str| mail(id, "", "Hi").replace("Owner <owner@example.com>", who);
    world.deliver("trial1@example.com", from("stranger@evil.test", "m1@x")).await;
    let (_, body) =
        world.deliver("trial1@example.com", from("\"owner@example.com\" <a@evil.test>", "m2@x")).await;
    assert_eq!(body["disposition"], "quarantined");
    let spoofed = include_bytes!("../corpus/10-spoof.eml").as_slice();
    world.deliver("rowan@example.com", spoofed).await;
    let held = desk.queue(Queue::Quarantine, None).unwrap();
    let reasons: Vec<_> = held.iter().map(|summary| summary.reason.as_str()).collect();
    assert_eq!(reasons, ["malformed_from", "not_allowlisted", "not_allowlisted"]);
    // The genuine mail with the id a stranger used first is not swallowed.
    let (_, genuine) = world.deliver("trial1@example.com", mail("m1@x", "", "Hi")).await;
    assert_eq!((&genuine["duplicate"], &genuine["disposition"]), (&false.into(), &"approved".into()));
    until("the genuine message", || (world.trial.posts().len() == 1).then_some(())).await;
    desk.release(&held[2].id, Some("me")).unwrap();
    until("the released message", || (world.trial.posts().len() == 2).then_some(())).await;
    assert_eq!(desk.reject(&held[1].id, None).unwrap().status, "rejected");
    assert!(matches!(desk.release(&held[1].id, None), Err(Error::NotNow { .. })));
    assert_eq!(world.trial.read(|book| book.sessions.len()), 2, "apart from each other");
}

#[tokio::test]
async fn machines_are_noted_and_never_answered() {
    let world = World::new().await;
    let desk = world.desk();
    desk.allow_add(None, "mx.example.com").unwrap();
    for raw in [
        include_bytes!("../corpus/07-list.eml").as_slice(),
        include_bytes!("../corpus/08-out-of-office.eml").as_slice(),
        include_bytes!("../corpus/09-dsn.eml").as_slice(),
    ] {
        let (_, body) = world.deliver("trial1@example.com", raw).await;
        assert_eq!(body["disposition"], "noted");
    }
    let own = mail("m1@x", "", "Hi").replace("owner@example.com", "rowan+trial1@example.com");
    world.deliver("rowan@example.com", own).await;
    let reasons: Vec<_> =
        desk.queue(Queue::Quarantine, None).unwrap().into_iter().map(|s| s.reason).collect();
    assert_eq!(reasons, ["loop", "dsn", "auto_reply", "bulk"]);
    assert!(world.trial.posts().is_empty() && world.relay.mails().is_empty());
}

#[tokio::test]
async fn two_machines_that_hide_it_are_stopped() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Thank you!".into());
    let mut last = String::new();
    for n in 0..5 {
        let extra = if n == 0 { String::new() } else { format!("In-Reply-To: {last}\r\n") };
        world.deliver("trial1@example.com", mail(&format!("m{n}@example.com"), &extra, "Thank you!")).await;
        last = until("the answer", || world.relay.mails().into_iter().nth(n)).await.header("message-id");
    }
    let extra = format!("In-Reply-To: {last}\r\n");
    let (_, body) = world.deliver("trial1@example.com", mail("m5@example.com", &extra, "Thank you!")).await;
    assert_eq!(body["disposition"], "pending_review");
    assert_eq!(world.desk().queue(Queue::Review, None).unwrap()[0].reason, "too_many_answers");
}

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let world = World::without_bridge().await;
    let desk = world.desk();
    let before = (world.webhook_token(), desk.allow_list(None).unwrap());
    let again = InitOptions {
        name: "Other".into(),
        local_part: "other".into(),
        domain: "example.org".into(),
        ..InitOptions::default()
    };
    assert!(
        matches!(desk.init(&again), Err(Error::AlreadyInitialised(address)) if address == "rowan@example.com")
    );
    assert_eq!((world.webhook_token(), desk.allow_list(None).unwrap()), before);
    let status = serde_json::to_value(desk.status().unwrap()).unwrap();
    assert_eq!(status["identity"]["address"], "rowan@example.com");
    assert_eq!(status["bridge"]["cloudflareWebhookToken"], "[configured]");
    assert_eq!(status["instances"][0]["address"], "rowan+trial1@example.com");
    assert_eq!(status["outbound"]["configured"], true);
    assert!(!status.to_string().contains(&before.0));
}

#[tokio::test]
async fn files_are_taken_in_by_their_to_header() {
    let world = World::without_bridge().await;
    let desk = world.desk();
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let guests = serde_json::json!([{"name": "trial4", "port": 7704, "instanceRoot": world.folder.path().join("trial4")}]);
    std::fs::write(&world.places.registry, guests.to_string()).unwrap();
    let taken = desk.ingest(vec![Source::Path(corpus.clone())], None).unwrap();
    assert_eq!(taken.ingested.len(), 20);
    let of = |queue: &str| taken.ingested.iter().filter(|summary| summary.queue == queue).count();
    // Held: list, out of office, report, spoof, and the sender nobody permitted.
    assert_eq!((of("review"), of("quarantine")), (15, 5));
    assert_eq!((taken.counts.review, taken.counts.quarantine), (15, 5));
    assert_eq!(taken.ingested[0].target_instance, "trial4");
    assert_eq!(taken.ingested[9].target_instance, "", "the owner's");
    let again = desk.ingest(vec![Source::Path(corpus.clone())], None).unwrap();
    assert_eq!(again.counts.review, 15, "the same files are the same mails");
    // Several at once, one of them read as it comes.
    let stream =
        |raw: String| Source::Stream { name: "-".into(), bytes: Box::new(std::io::Cursor::new(raw)) };
    let sources = vec![Source::Path(corpus.join("01-plain.eml")), stream(mail("s1@example.com", "", "Hi"))];
    let taken = desk.ingest(sources, Some("trial4@example.com")).unwrap();
    let told: Vec<_> = taken.ingested.iter().map(|mail| mail.target_instance.as_str()).collect();
    assert_eq!(told, ["trial4", "trial4"]);
    let large = stream(mail("s2@example.com", "", &"x".repeat(27 << 20)));
    assert!(matches!(desk.ingest(vec![large], None), Err(Error::TooLarge(name)) if name.as_os_str() == "-"));
    assert!(desk.ingest(vec![stream(String::new())], Some("nobody@example.com")).is_err());
}
