//! What the bridge takes, what it refuses, and with which words.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dns::signed_by;
use crate::world::{World, answer, http, mail, until};

const WEBHOOK: &str = "/cloudflare-email/webhook";

#[tokio::test]
async fn says_who_it_is() {
    let world = World::new().await;
    let (status, body) = answer(http().get(world.url("/healthz"))).await;
    assert_eq!((status, &body["ok"], &body["status"]), (200, &json!(true), &json!("configured")));
    assert_eq!(body["service"], "agent-mail-http-bridge");
    assert_eq!(body["cloudflareWebhookConfigured"], true);
    assert!(!body.to_string().contains(&world.webhook_token()));
    let (status, body) = answer(http().get(world.url("/nowhere"))).await;
    assert_eq!((status, body), (404, json!({"ok": false, "error": "not_found", "path": "/nowhere"})));
    assert_eq!(answer(http().get(world.url(WEBHOOK))).await.0, 404);
}

#[tokio::test]
async fn takes_mail_only_with_the_token() {
    let world = World::new().await;
    for authorization in ["Bearer wrong", "", &format!("Bearer {}x", world.webhook_token())] {
        let call = http().post(world.url(WEBHOOK)).header("authorization", authorization).body("{}");
        let (status, body) = answer(call).await;
        assert_eq!((status, body), (403, json!({"ok": false, "error": "invalid_cloudflare_webhook_token"})));
    }
    let call = http().post(world.url(WEBHOOK)).header("x-bridge-token", world.webhook_token()).body("{}");
    assert_eq!(answer(call).await.1["error"], "missing_raw_email");
}

fn signed(mail: &str) -> String {
    String::from_utf8(signed_by("example.com", mail.as_bytes())).unwrap()
}

/// Delivers a message signed with a key.
async fn deliver_signed(world: &World, key: &str, raw: &str, said: &str) -> (u16, Value) {
    let timestamp = world.clock_seconds();
    let content = hex::encode(Sha256::digest(said));
    let to = "trial1%40example.com";
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("v1\n{timestamp}\nd-1\nowner@example.com\n{to}\n{content}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let call = http()
        .post(world.url(WEBHOOK))
        .header("content-type", "message/rfc822")
        .header("x-envelope-from", "owner@example.com")
        .header("x-envelope-to", to)
        .header("x-remotelab-timestamp", timestamp)
        .header("x-remotelab-delivery", "d-1")
        .header("x-remotelab-content-sha256", content)
        .header("x-remotelab-signature", format!("v1={signature}"))
        .body(raw.to_owned());
    answer(call).await
}

#[tokio::test]
async fn a_signed_delivery_is_believed_once_and_a_changed_one_never() {
    let world = World::new().await;
    let settings = world.bridge_settings();
    let key = settings["signingKeys"][0]["key"].as_str().unwrap();
    let raw = signed(&mail("m1@example.com", "", "Hi"));
    let bad = (401, json!({"ok": false, "error": "bad_signature"}));
    assert_eq!(deliver_signed(&world, "wrong", &raw, &raw).await, bad);
    assert_eq!(deliver_signed(&world, key, &raw, "other bytes").await, bad);
    assert!(blobs(&world).is_empty(), "nothing is kept of what is not believed");
    let (status, taken) = deliver_signed(&world, key, &raw, &raw).await;
    assert_eq!(
        (status, &taken),
        (200, &json!({"ok": true, "id": taken["id"], "duplicate": false, "disposition": "received"}))
    );
    let (status, again) = deliver_signed(&world, key, &raw, &raw).await;
    assert_eq!((status, again), (200, json!({"ok": true, "id": taken["id"], "duplicate": true})));
    until("it is read and handed over", || world.trial.posts().pop()).await;

    // A key that was replaced counts until it is taken out; without signature nothing does then.
    let mut changed = settings.clone();
    changed["signingKeys"] = json!([{"id": "2", "key": "new"}, settings["signingKeys"][0]]);
    changed["requireSignature"] = json!(true);
    world.set_bridge_settings(&changed);
    for key in ["new", key] {
        assert_eq!(deliver_signed(&world, key, &raw, &raw).await.0, 200);
    }
    changed["signingKeys"] = json!([{"id": "2", "key": "new"}]);
    world.set_bridge_settings(&changed);
    assert_eq!(deliver_signed(&world, key, &raw, &raw).await, bad);
    assert_eq!(world.deliver("trial1@example.com", raw).await, bad);
}

#[tokio::test]
async fn a_script_delivers_raw_mail_with_a_token_of_its_own() {
    let world = World::new().await;
    let token = world.bridge_settings()["ingressToken"].as_str().unwrap().to_owned();
    let url = world.url("/inbound/raw?from=owner@example.com&to=trial1%40example.com");
    let post = |url: &str| {
        http().post(url).header("content-type", "message/rfc822").body(signed(&mail("r1@x", "", "Hi")))
    };
    let (status, taken) = answer(post(&url).bearer_auth(&token)).await;
    assert_eq!(
        (status, &taken["duplicate"], &taken["disposition"]),
        (200, &json!(false), &json!("approved"))
    );
    let (status, again) = answer(post(&url).basic_auth("cron", Some(&token))).await;
    assert_eq!((status, &again["duplicate"], &again["id"]), (200, &json!(true), &taken["id"]));
    let (status, refused) = answer(post(&url).bearer_auth(world.webhook_token())).await;
    assert_eq!((status, refused), (403, json!({"ok": false, "error": "invalid_ingress_token"})));
    let nobody = world.url("/inbound/raw?to=nobody@example.com");
    assert_eq!(answer(post(&nobody).bearer_auth(&token)).await.1["error"], "unknown_recipient");
    let (status, _) = answer(post(&world.url("/inbound/raw")).bearer_auth(&token)).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_unknown_recipient_is_refused_and_nothing_stored() {
    let world = World::new().await;
    for to in ["nosuch@example.com", "rowan+nosuch@example.com", "someone@other.test"] {
        let (status, body) = world.deliver(to, mail("m1@example.com", "", "Hi")).await;
        assert_eq!((status, &body["error"]), (403, &json!("unknown_recipient")), "{to}");
        assert!(body["smtp"].as_str().unwrap().starts_with("550 5.1.1"));
    }
    assert_eq!(world.desk().queue(Default::default(), None).unwrap(), []);
    assert!(blobs(&world).is_empty());
}

#[tokio::test]
async fn malformed_deliveries_get_a_word_and_leave_nothing() {
    let world = World::new().await;
    let token = format!("Bearer {}", world.webhook_token());
    let post = |body: &str| {
        answer(http().post(world.url(WEBHOOK)).header("authorization", &token).body(body.to_owned()))
    };
    assert_eq!(post("{").await, (400, json!({"ok": false, "error": "invalid_json"})));
    assert_eq!(post("{}").await, (400, json!({"ok": false, "error": "missing_raw_email"})));
    let no_recipient = r#"{"raw": "Subject: x\n\nHi"}"#;
    assert_eq!(post(no_recipient).await.1["error"], "missing_or_malformed_recipient");
    assert_eq!(world.deliver_as_it_is("a b", "x").await.0, 400);
    assert!(blobs(&world).is_empty());
}

#[tokio::test]
async fn too_large_is_said_and_the_rest_fits() {
    let world = World::new().await;
    let filled = |mib: usize| mail(&format!("m{mib}@example.com"), "", &"x".repeat(mib * 1024 * 1024));
    let (status, body) = world.deliver("trial1@example.com", filled(27)).await;
    assert_eq!((status, &body["error"]), (413, &json!("message_too_large")));
    assert_eq!(world.deliver("trial1@example.com", filled(25)).await.0, 200);
    assert_eq!(world.desk().queue(Default::default(), None).unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_mail_fifty_times_at_once_is_one() {
    let world = World::new().await;
    let raw = mail("m1@example.com", "", "Once");
    let deliveries = (0..50).map(|n| {
        // Each hop writes another trace line.
        world.deliver("trial1@example.com", format!("Received: by hop {n}\r\n{raw}"))
    });
    let answers = futures_util::future::join_all(deliveries).await;
    let taken: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 200).map(|(_, body)| body).collect();
    let ids: BTreeSet<_> = taken.iter().map(|body| body["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(taken.iter().filter(|body| body["duplicate"] == false).count(), 1);
    assert_eq!(taken.len(), 50);
    assert_eq!(world.desk().queue(Default::default(), None).unwrap().len(), 1);
}

#[tokio::test]
async fn raw_bytes_are_kept_exactly_and_privately() {
    let world = World::new().await;
    let raw = include_bytes!("../corpus/04-latin1.eml");
    world.deliver_as_it_is("trial1@example.com", raw.as_slice()).await;
    let files = blobs(&world);
    assert_eq!(files.len(), 1);
    assert_eq!(std::fs::read(&files[0]).unwrap(), raw);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files[0]), 0o600);
    let root = world.folder.path().join("trial1/config/agent-mailbox");
    assert_eq!((mode(&root), mode(&root.join("mailbox.db"))), (0o700, 0o600));
    assert_eq!(mode(&world.places.owner_root.join("bridge.json")), 0o600);
}

/// Stored messages of all mailboxes.
fn blobs(world: &World) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![
        world.places.owner_root.join("blobs"),
        world.folder.path().join("trial1/config/agent-mailbox/blobs"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}
