//! Mail that other providers hand on.

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::dns::signed_by;
use crate::world::{World, answer, http, mail, until};

const SECRET: &str = "c2VjcmV0LW9mLXRoaXMtdGVzdA==";

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// One call of a provider with a message for some recipients, proved by a secret.
fn call(world: &World, provider: &str, to: &[&str], raw: &[u8], secret: &str) -> RequestBuilder {
    let post = http().post(world.url(&format!("/inbound/{provider}")));
    let now = world.clock_seconds().to_string();
    let text = String::from_utf8_lossy(raw);
    match provider {
        "mailgun" => {
            let token = hex::encode(<Sha256 as sha2::Digest>::digest(raw));
            let signature = hex::encode(hmac(secret.as_bytes(), &[now.as_bytes(), token.as_bytes()]));
            let form = [
                ("timestamp", now),
                ("token", token),
                ("signature", signature),
                ("sender", "owner@example.com".into()),
                ("recipient", to.join(", ")),
                ("body-mime", text.into_owned()),
            ];
            post.form(&form)
        }
        "postmark" => {
            let listed: Vec<Value> = to.iter().map(|to| json!({"Email": to})).collect();
            let body =
                json!({"FromFull": {"Email": "owner@example.com"}, "ToFull": listed, "RawEmail": text});
            post.basic_auth("hook", Some(secret)).json(&body)
        }
        "ses" => {
            let message = json!({"notificationType": "Received", "mail": {"source": "owner@example.com"},
                "receipt": {"recipients": to, "action": {"type": "SNS", "encoding": "BASE64"}}, "content": STANDARD.encode(raw)});
            let note = json!({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:mail", "Message": message.to_string()});
            post.basic_auth("sns", Some(secret)).json(&note)
        }
        _ => {
            let body = json!({"type": "email.received", "data": {"email_id": "e-1", "from": "Owner <owner@example.com>", "to": to}}).to_string();
            let key = STANDARD.decode(secret).unwrap_or_default();
            let signature =
                STANDARD.encode(hmac(&key, &[format!("msg_1.{now}.").as_bytes(), body.as_bytes()]));
            post.header("svix-id", "msg_1")
                .header("svix-timestamp", now)
                .header("svix-signature", format!("v1,bm9uZQ== v1,{signature}"))
                .body(body)
        }
    }
}

/// What Resend hands out of a message that it announced.
async fn resend_api(raw: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let about = json!({"raw": {"download_url": format!("{url}/file")}});
    let app = Router::new()
        .route("/emails/receiving/e-1", get(move || async move { axum::Json(about) }))
        .route("/file", get(move || async move { raw }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test]
async fn every_provider_keeps_the_contract() {
    for provider in ["mailgun", "postmark", "resend", "ses"] {
        let world = World::new().await;
        let raw = signed_by("example.com", mail("m1@x", "", &format!("By {provider}")).as_bytes());
        let here = call(&world, provider, &["trial1@example.com"], &raw, SECRET);
        assert_eq!(answer(here).await.0, 404, "{provider} is not set up");
        let mut settings = world.bridge_settings();
        settings["adapters"] = json!({provider: {"secret": SECRET, "apiKey": "k", "topic": "arn:aws:sns:x:1:mail",
            "apiBaseUrl": resend_api(raw.clone()).await}});
        world.set_bridge_settings(&settings);
        let forged = call(&world, provider, &["trial1@example.com"], &raw, "Zm9yZ2Vk");
        assert_eq!(answer(forged).await, (401, json!({"ok": false, "error": "bad_signature"})), "{provider}");
        let to = ["trial1@example.com", "nobody@example.com"];
        let (status, taken) = answer(call(&world, provider, &to, &raw, SECRET)).await;
        assert_eq!((status, taken["taken"].as_array().unwrap().len()), (200, 1), "{provider}: {taken}");
        assert!(taken["refused"][0]["smtp"].as_str().unwrap().starts_with("550 5.1.1"), "{provider}");
        let id = taken["taken"][0]["id"].as_str().unwrap();
        assert_eq!(world.desk().raw(id).unwrap(), raw, "{provider}");
        let (_, again) = answer(call(&world, provider, &to, &raw, SECRET)).await;
        assert_eq!(again["taken"][0], json!({"to": to[0], "id": id, "duplicate": true}), "{provider}");
        let post = until("the message", || world.trial.posts().pop()).await;
        assert!(post.message["text"].as_str().unwrap().ends_with(&format!("By {provider}")));
        assert_eq!(world.trial.posts().len(), 1);
    }
}

#[tokio::test]
async fn a_signature_that_covers_no_text_counts_once_and_not_for_long() {
    let mut world = World::new().await;
    let mut settings = world.bridge_settings();
    settings["adapters"] = json!({"mailgun": {"secret": SECRET}});
    world.set_bridge_settings(&settings);
    let now = world.clock_seconds().to_string();
    let signature = hex::encode(hmac(SECRET.as_bytes(), &[now.as_bytes(), b"captured"]));
    let form = |raw: &str| {
        [
            ("timestamp", now.clone()),
            ("token", "captured".into()),
            ("signature", signature.clone()),
            ("sender", "owner@example.com".into()),
            ("recipient", "trial1@example.com".into()),
            ("body-mime", raw.to_owned()),
        ]
    };
    let post = |world: &World, raw: &str| answer(http().post(world.url("/inbound/mailgun")).form(&form(raw)));
    assert_eq!(post(&world, &mail("m1@x", "", "Hi")).await.0, 200);
    assert_eq!(post(&world, &mail("m2@x", "", "Other")).await.0, 401);
    world.restart_bridge().await;
    world.pass_time(std::time::Duration::from_secs(301));
    assert_eq!(post(&world, &mail("m1@x", "", "Hi")).await.0, 401);
}

#[tokio::test]
async fn a_recipient_can_be_asked_for_before_a_mail_is_sent() {
    let world = World::new().await;
    let ask = |to: &str| {
        let url = world.url(&format!("/cloudflare-email/recipient?to={to}"));
        answer(http().get(url).bearer_auth(world.webhook_token()))
    };
    assert_eq!(ask("rowan%2Btrial1@example.com").await, (200, json!({"ok": true})));
    assert_eq!(ask("nobody@example.com").await.1["error"], "unknown_recipient");
    assert_eq!(ask("nonsense").await.0, 400);
    let (status, _) =
        answer(http().get(world.url("/cloudflare-email/recipient?to=trial1@example.com"))).await;
    assert_eq!(status, 403);
    // Signed, it is about the recipient that was signed.
    let key = world.bridge_settings()["signingKeys"][0]["key"].as_str().unwrap().to_owned();
    let now = world.clock_seconds();
    let nothing = hex::encode(<Sha256 as sha2::Digest>::digest(b""));
    let text = format!("v1\n{now}\nd-1\n\ntrial1@example.com\n{nothing}");
    let signed = |to: &str| {
        let call = http()
            .get(world.url(&format!("/cloudflare-email/recipient?to={to}")))
            .header("x-envelope-to", "trial1@example.com")
            .header("x-remotelab-timestamp", now)
            .header("x-remotelab-delivery", "d-1")
            .header("x-remotelab-content-sha256", &nothing)
            .header(
                "x-remotelab-signature",
                format!("v1={}", hex::encode(hmac(key.as_bytes(), &[text.as_bytes()]))),
            );
        answer(call)
    };
    assert_eq!(signed("trial1@example.com").await.0, 200);
    assert_eq!(signed("rowan@example.com").await.0, 401);
}

#[tokio::test]
async fn more_than_the_settings_allow_waits_outside_for_the_next_hour() {
    let world = World::new().await;
    let policy = json!({"perSenderHour": 2, "perHour": 3});
    remotelab_config::atomic::write_json(&world.places.owner_root.join("policy.json"), &policy).unwrap();
    let raw = |n: u32| mail(&format!("m{n}@x"), "", "Hi");
    for n in 0..2 {
        assert_eq!(world.deliver("trial1@example.com", raw(n)).await.0, 200);
    }
    let (status, refused) = world.deliver("trial1@example.com", raw(2)).await;
    assert_eq!((status, &refused["error"]), (429, &json!("over_quota")));
    assert_eq!(world.deliver("rowan@example.com", raw(2)).await.0, 200, "each instance counts for itself");
    let other = |n: u32| {
        let call = http()
            .post(world.url("/cloudflare-email/webhook"))
            .bearer_auth(world.webhook_token())
            .header("content-type", "message/rfc822")
            .header("x-envelope-from", "second@example.com")
            .header("x-envelope-to", "trial1@example.com")
            .body(raw(n));
        answer(call)
    };
    assert_eq!((other(3).await.0, other(4).await.0), (200, 429), "of all together");
    world.pass_time(std::time::Duration::from_secs(3601));
    assert_eq!(world.deliver("trial1@example.com", raw(5)).await.0, 200);
}
