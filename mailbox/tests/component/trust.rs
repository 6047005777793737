//! Who is believed to have sent a mail.

use std::time::Duration;

use mail_auth::arc::ArcSealer;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::{AuthenticatedMessage, AuthenticationResults, MessageAuthenticator, SpfOutput, SpfResult};
use remotelab_mailbox::{Queue, Source, Strictness};
use serde_json::{Value, json};

use crate::dns::{self, signed_by};
use crate::world::{World, mail, until};

/// Delivers a mail and tells what became of it, and why.
async fn fate(world: &World, raw: impl Into<Vec<u8>>) -> (String, String, Value) {
    let (status, body) = world.deliver_as_it_is("trial1@example.com", raw).await;
    assert_eq!(status, 200, "{body}");
    let shown = serde_json::to_value(world.desk().show(body["id"].as_str().unwrap()).unwrap()).unwrap();
    let text = |key: &str| shown[key].as_str().unwrap().to_owned();
    (text("state"), text("reason"), shown["facts"]["auth"].clone())
}

fn set_policy(world: &World, policy: &Value) {
    remotelab_config::atomic::write_json(&world.places.owner_root.join("policy.json"), policy).unwrap();
}

fn is(fate: &(String, String, Value), state: &str, reason: &str, verdict: &str) {
    assert_eq!(
        (fate.0.as_str(), fate.1.as_str(), &fate.2["verdict"]),
        (state, reason, &json!(verdict)),
        "{fate:?}"
    );
}

#[tokio::test]
async fn signed_mail_passes_and_one_changed_byte_does_not() {
    let world = World::new().await;
    let signed = signed_by("example.com", mail("m1@example.com", "", "Pay 100").as_bytes());
    let passed = fate(&world, signed.clone()).await;
    is(&passed, "approved", "auto_approved", "pass");
    assert_eq!(
        passed.2,
        json!({"verdict": "pass", "spf": "unknown", "dmarc": "pass", "arc": "none", "source": "",
               "dkim": [{"domain": "example.com", "selector": "test", "result": "pass"}]})
    );
    let post = until("the message", || world.trial.posts().pop()).await;
    assert_eq!(post.message["sourceContext"]["authVerdict"], "pass");

    let tampered = String::from_utf8(signed).unwrap().replace("Pay 100", "Pay 900").replace("m1@", "m2@");
    let held = fate(&world, tampered).await;
    is(&held, "pending_review", "unproved_sender", "none");
    assert_eq!(held.2["dkim"][0]["result"], "neutral");
    is(&fate(&world, mail("m3@example.com", "", "Hi")).await, "pending_review", "unproved_sender", "none");
    let other = signed_by("evil.test", mail("m4@example.com", "", "Hi").as_bytes());
    world.dns.key("evil.test");
    let unaligned = fate(&world, other).await;
    is(&unaligned, "pending_review", "unproved_sender", "none");
    assert_eq!(unaligned.2["dkim"][0]["result"], "pass", "of somebody else");
    assert_eq!(world.trial.posts().len(), 1);
}

#[tokio::test]
async fn a_domain_without_policy_is_proved_by_its_own_signature() {
    let world = World::new().await;
    world.desk().allow_add(None, "ada@plain.test").unwrap();
    world.dns.key("plain.test");
    let raw = |id: &str| mail(id, "", "Hi").replace("owner@example.com", "ada@plain.test");
    let signed = signed_by("plain.test", raw("m1@x").as_bytes());
    is(&fate(&world, signed).await, "approved", "auto_approved", "aligned_no_policy");
    is(&fate(&world, raw("m2@x")).await, "pending_review", "unproved_sender", "none");
}

#[tokio::test]
async fn silent_name_servers_hold_a_mail_for_an_hour() {
    let world = World::new().await;
    world.dns.trouble("test._domainkey.example.com");
    let signed = |id: &str| signed_by("example.com", mail(id, "", "Hi").as_bytes());
    let (_, body) = world.deliver_as_it_is("trial1@example.com", signed("m1@x")).await;
    assert_eq!(body["disposition"], "received");
    let waiting = world.desk().queue(Queue::Review, None).unwrap().remove(0);
    assert!(waiting.last_error.unwrap().contains("name servers"));
    world.dns.key("example.com");
    world.pass_time(Duration::from_secs(120));
    until("it is proved", || world.trial.posts().pop()).await;

    world.desk().allow_add(None, "ada@slow.test").unwrap();
    world.dns.key("slow.test");
    world.dns.trouble("_dmarc.slow.test");
    let slow = mail("m2@x", "", "Hi").replace("owner@example.com", "ada@slow.test");
    world.deliver_as_it_is("trial1@example.com", signed_by("slow.test", slow.as_bytes())).await;
    let held = until("patience ends", || {
        world.pass_time(Duration::from_secs(3600));
        let waiting = world.desk().queue(Queue::Review, None).unwrap();
        waiting.into_iter().find(|mail| mail.reason == "unproved_sender")
    })
    .await;
    assert_eq!((held.state.as_str(), world.trial.posts().len()), ("pending_review", 1));
}

#[tokio::test]
async fn entries_end_loosen_and_go() {
    let world = World::new().await;
    let desk = world.desk();
    desk.allow_put(None, "second@example.com", Strictness::Relaxed, None).unwrap();
    desk.allow_put(None, "*.partner.test", Strictness::Required, Some("2026-01-01")).unwrap();
    let second = |id: &str| mail(id, "", "Hi").replace("owner@", "second@");
    is(&fate(&world, second("m1@x")).await, "pending_review", "relaxed_entry", "none");
    let signed = signed_by("example.com", second("m2@x").as_bytes());
    is(&fate(&world, signed).await, "pending_review", "relaxed_entry", "pass");
    let partner = mail("m3@x", "", "Hi").replace("owner@example.com", "ada@a.partner.test");
    is(&fate(&world, partner).await, "quarantined", "not_allowlisted", "none");
    desk.allow_remove(None, "owner@example.com").unwrap();
    let signed = signed_by("example.com", mail("m4@x", "", "Hi").as_bytes());
    is(&fate(&world, signed).await, "quarantined", "not_allowlisted", "pass");
}

#[tokio::test]
async fn without_authority_all_mail_waits_for_a_person() {
    let world = World::new().await;
    set_policy(&world, &json!({"authority": "none"}));
    let signed = signed_by("example.com", mail("m1@x", "", "Hi").as_bytes());
    let (state, reason, auth) = fate(&world, signed).await;
    assert_eq!((state.as_str(), reason.as_str(), auth), ("pending_review", "unproved_sender", Value::Null));
    let status = serde_json::to_value(world.desk().status().unwrap()).unwrap();
    assert!(status["diagnostics"].to_string().contains("authority"), "{status}");
}

/// Writes the fields of the edge above a mail and seals them.
async fn sealed(world: &World, by: &str, spf: SpfResult, raw: &str) -> String {
    let authenticator = resolver(world);
    let received = format!("Received: from mx.example.com by {by} (edge) id 1; now\r\n{raw}");
    let message = AuthenticatedMessage::parse(received.as_bytes()).unwrap();
    let spf = SpfOutput::new("example.com".into()).with_result(spf);
    let results = AuthenticationResults::new("mx.cloudflare.net").with_spf_mailfrom_result(
        &spf,
        "192.0.2.1".parse().unwrap(),
        "owner@example.com",
        "mx.example.com",
    );
    let arc = authenticator.verify_arc(&message).await;
    let sealer =
        ArcSealer::from_key(dns::key()).domain(by).selector(dns::SELECTOR).headers(["From", "Subject"]);
    let set = sealer.seal(&message, &results, &arc).unwrap();
    format!("{}{received}", set.to_header())
}

fn resolver(world: &World) -> MessageAuthenticator {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
    let mut server = NameServerConfig::udp(world.dns.addr.ip());
    server.connections[0].port = world.dns.addr.port();
    MessageAuthenticator::new(ResolverConfig::from_name_servers(vec![server]), ResolverOpts::default())
        .unwrap()
}

#[tokio::test]
async fn the_edge_is_believed_by_its_seal_alone() {
    let world = World::new().await;
    world.dns.key("cloudflare-email.net");
    world.dns.key("evil.test");
    let edge = "cloudflare-email.net";
    let passed = fate(&world, sealed(&world, edge, SpfResult::Pass, &mail("m1@x", "", "Hi")).await).await;
    is(&passed, "approved", "auto_approved", "pass");
    assert_eq!(
        (&passed.2["spf"], &passed.2["arc"], &passed.2["source"]),
        (&json!("pass"), &json!("pass"), &json!("mx.cloudflare.net"))
    );
    // The domain refuses what neither path nor signature proves.
    let failed = fate(&world, sealed(&world, edge, SpfResult::Fail, &mail("m2@x", "", "Hi")).await).await;
    is(&failed, "quarantined", "auth_failed", "fail");

    // A seal of somebody else, a set below another, a bare claim, a changed body, two that claim the name.
    let mail = |id: &str| mail(id, "", "Hi");
    let foreign = sealed(&world, "evil.test", SpfResult::Pass, &mail("m3@x")).await;
    let inner = sealed(&world, edge, SpfResult::Pass, &mail("m4@x")).await;
    let second = sealed(&world, "evil.test", SpfResult::Fail, &inner).await;
    let bare = "Authentication-Results: mx.cloudflare.net; spf=pass smtp.mailfrom=owner@example.com\r\n";
    let claimed = format!("{bare}{}", mail("m5@x"));
    let changed = sealed(&world, edge, SpfResult::Pass, &mail("m6@x")).await.replace("Hi\r\n", "Ho\r\n");
    let doubled = format!("{bare}{}", sealed(&world, edge, SpfResult::Pass, &mail("m7@x")).await);
    for forged in [foreign, second, claimed, changed, doubled] {
        let held = fate(&world, forged).await;
        is(&held, "pending_review", "unproved_sender", "none");
        assert_eq!((&held.2["spf"], &held.2["source"]), (&json!("unknown"), &json!("")));
    }
    assert_eq!(world.desk().queue(Queue::Approved, None).unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_is_proved_like_any_other_mail() {
    let world = World::without_bridge().await;
    let desk = world.desk();
    desk.automation_configure(None, crate::world::automatic(true)).unwrap();
    let stream =
        |raw: Vec<u8>| Source::Stream { name: "-".into(), bytes: Box::new(std::io::Cursor::new(raw)) };
    let large = mail("m1@x", "", &"0123456789abcdef\r\n".repeat(100_000));
    let taken =
        desk.ingest(vec![stream(signed_by("example.com", large.as_bytes()))], Some("trial1@example.com"));
    assert_eq!(taken.unwrap().ingested[0].reason, "auto_approved");
    let taken = desk.ingest(vec![stream(mail("m2@x", "", "Hi").into())], Some("trial1@example.com")).unwrap();
    assert_eq!(taken.ingested[0].reason, "unproved_sender");
}
