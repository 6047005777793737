//! Ways out beside a plain relay.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use remotelab_mailbox::{Outgoing, SendOptions, Sent};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::{World, mail, until};

/// An answer: status, body, seconds to wait.
type Said = (u16, Value, Option<u64>);

/// A provider that answers as it is told, in turn.
#[derive(Clone, Default)]
struct Api {
    calls: Arc<Mutex<Vec<(String, Value, String)>>>,
    answers: Arc<Mutex<Vec<Said>>>,
}

impl Api {
    async fn start(answers: &[Said]) -> (Self, String) {
        let api = Self { answers: Arc::new(Mutex::new(answers.to_vec())), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (api, url)
    }

    fn calls(&self) -> Vec<(String, Value, String)> {
        self.calls.lock().unwrap().clone()
    }
}

async fn take(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let key = format!("{} {}", header("authorization"), header("idempotency-key"));
    let body = axum::body::to_bytes(body, 1 << 26).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap();
    api.calls.lock().unwrap().push((parts.uri.path().to_owned(), body, key));
    let mut answers = api.answers.lock().unwrap();
    let (status, body, wait) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
    let mut response = (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    if let Some(wait) = wait {
        response.headers_mut().insert("retry-after", wait.into());
    }
    response
}

fn set(world: &World, outbound: &Value) {
    remotelab_config::atomic::write_json(&world.places.owner_root.join("outbound.json"), outbound).unwrap();
}

async fn send(world: &World) -> Sent {
    let options = SendOptions {
        to: vec!["ada@y.test".into()],
        text: "Hello".into(),
        subject: "Greetings".into(),
        in_reply_to: Some("<a@y.test>".into()),
        references: Some("<z@y.test> <a@y.test>".into()),
        ..SendOptions::default()
    };
    world.desk().send(options).await.unwrap()
}

#[tokio::test]
async fn each_provider_gets_a_letter_in_its_own_words() {
    let world = World::without_bridge().await;
    let (api, url) = Api::start(&[(
        200,
        json!({"id": "p-1", "messageId": "<p-1@w.test>", "success": true,
        "result": {"delivered": ["ada@y.test"], "permanent_bounces": [], "queued": []}}),
        None,
    )])
    .await;
    set(&world, &json!({"provider": "cloudflare_worker", "workerBaseUrl": url, "workerToken": "w"}));
    let sent = send(&world).await;
    assert_eq!(
        (sent.state, sent.status_code, sent.response_message.as_str()),
        (Outgoing::Sent, 200, "200 <p-1@w.test>")
    );
    set(
        &world,
        &json!({"provider": "resend_api", "apiBaseUrl": url, "apiKey": "r", "replyTo": "r@example.com"}),
    );
    let resent = send(&world).await;
    set(
        &world,
        &json!({"provider": "cloudflare_email_api", "apiBaseUrl": url, "apiKey": "c", "accountId": "acc"}),
    );
    assert_eq!(send(&world).await.state, Outgoing::Sent);
    let calls = api.calls();
    let (path, body, key) = &calls[0];
    assert_eq!((path.as_str(), key.as_str()), ("/api/send-email", "Bearer w "));
    assert_eq!(
        json!([
            body["to"],
            body["from"],
            body["subject"],
            body["text"],
            body["inReplyTo"],
            body["references"],
            body["idempotencyKey"]
        ]),
        json!([
            ["ada@y.test"],
            "rowan@example.com",
            "Greetings",
            "Hello",
            "<a@y.test>",
            "<z@y.test> <a@y.test>",
            sent.id
        ])
    );
    let (path, body, key) = &calls[1];
    assert_eq!((path.as_str(), key), ("/emails", &format!("Bearer r {}", resent.id)));
    assert_eq!(
        json!([body["from"], body["reply_to"], body["headers"]]),
        json!(["Rowan <rowan@example.com>", "r@example.com", {"In-Reply-To": "<a@y.test>", "References": "<z@y.test> <a@y.test>"}])
    );
    let (path, body, _) = &calls[2];
    assert_eq!(path, "/accounts/acc/email/sending/send");
    assert_eq!(body["from"], json!({"address": "rowan@example.com", "name": "Rowan"}));
}

#[tokio::test]
async fn the_next_provider_takes_over_and_a_busy_one_is_waited_for() {
    let world = World::without_bridge().await;
    let refusal = json!({"error": "Failed to send email", "details": {"message": "destination address is not a verified address"}});
    let (worker, worker_url) = Api::start(&[(502, refusal, None)]).await;
    let (resend, resend_url) =
        Api::start(&[(429, json!({"message": "slow"}), Some(7200)), (200, json!({"id": "x"}), None)]).await;
    set(
        &world,
        &json!({"provider": "cloudflare_worker", "workerBaseUrl": worker_url, "workerToken": "w",
        "fallback": {"provider": "resend_api", "apiBaseUrl": resend_url, "apiKey": "r"}}),
    );
    let waiting = send(&world).await;
    assert_eq!((waiting.state, waiting.status_code), (Outgoing::Pending, 429));
    assert_eq!((worker.calls().len(), resend.calls().len()), (1, 1));
    let (bridge, stop) = world.start_bridge().await;
    world.pass_time(Duration::from_secs(3600));
    tokio::time::timeout(Duration::from_secs(2), async {
        while resend.calls().len() == 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect_err("it is not asked before its time");
    world.pass_time(Duration::from_secs(4000));
    until("it went", || (resend.calls().len() == 2).then_some(())).await;
    assert_eq!(resend.calls()[0].2, resend.calls()[1].2, "the same letter, by its key");
    stop.cancel();
    bridge.wait().await;
    // Not set up is no obstacle for those behind it; nobody set up is.
    set(
        &world,
        &json!({"providers": [{"provider": "smtp"}, {"provider": "resend_api", "apiBaseUrl": resend_url, "apiKey": "r"}]}),
    );
    assert_eq!(send(&world).await.state, Outgoing::Sent);
    set(&world, &json!({"providers": [{"provider": "smtp"}, {"provider": "pigeon"}]}));
    assert_eq!(send(&world).await.state, Outgoing::Pending);
}

#[tokio::test]
async fn letters_go_to_a_program_or_into_a_folder() {
    let world = World::without_bridge().await;
    let folder = world.folder.path().join("letters");
    set(&world, &json!({"provider": "file", "path": folder}));
    let sent = send(&world).await;
    let file = std::fs::read_to_string(folder.join(format!("{}.eml", sent.id))).unwrap();
    assert!(file.contains("Subject: Greetings") && file.contains("To: ada@y.test"), "{file}");

    let program = world.folder.path().join("sendmail");
    let kept = world.folder.path().join("kept");
    std::fs::write(&program, format!("#!/bin/sh\nprintf '%s ' \"$@\" > {0}\ncat >> {0}\n", kept.display()))
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    set(&world, &json!({"provider": "sendmail", "path": program}));
    assert_eq!(send(&world).await.state, Outgoing::Sent);
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(
        kept.starts_with("-oi -f rowan@example.com -- ada@y.test ") && kept.contains("Subject: Greetings"),
        "{kept}"
    );
    for (code, state) in [(75, Outgoing::Pending), (67, Outgoing::Dead)] {
        std::fs::write(&program, format!("#!/bin/sh\ncat > /dev/null\necho no >&2\nexit {code}\n")).unwrap();
        let sent = send(&world).await;
        assert_eq!((sent.state, sent.response_message.as_str()), (state, "no"));
    }
}

/// A relay that insists on TLS and a password.
struct TlsRelay {
    port: u16,
    ca: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl TlsRelay {
    async fn start(from_the_start: bool) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            ca: certified.cert.pem(),
            heard: Arc::clone(&heard),
        };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
                tokio::spawn(async move {
                    if !from_the_start {
                        before_tls(&mut stream).await;
                    }
                    if let Ok(stream) = acceptor.accept(stream).await {
                        talk(stream, from_the_start, &heard).await;
                    }
                });
            }
        });
        relay
    }
}

async fn before_tls(stream: &mut tokio::net::TcpStream) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let is_last = line.starts_with("STARTTLS");
        let answer: &[u8] = if is_last { b"220 go\r\n" } else { b"250-relay\r\n250 STARTTLS\r\n" };
        stream.write_all(answer).await.unwrap();
        if is_last {
            return;
        }
        line.clear();
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, greets: bool, heard: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 relay\r\n").await.unwrap();
    }
    let mut line = String::new();
    let mut in_text = false;
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        heard.lock().unwrap().push(line.trim_end().to_owned());
        let answer: &[u8] = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
            "." => {
                in_text = false;
                b"250 taken\r\n"
            }
            _ if in_text => b"",
            "EHLO" => b"250-relay\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" if line.trim_end() == "AUTH PLAIN AHJvd2FuAHNlY3JldA==" => b"235 welcome\r\n",
            "AUTH" => b"535 5.7.8 wrong\r\n",
            "DATA" => {
                in_text = true;
                b"354 go on\r\n"
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await.unwrap();
        line.clear();
    }
}

#[tokio::test]
async fn tls_and_a_login_protect_the_way_to_the_relay() {
    let world = World::without_bridge().await;
    for (from_the_start, security) in [(false, "starttls"), (true, "tls")] {
        let relay = TlsRelay::start(from_the_start).await;
        let ca = world.folder.path().join("ca.pem");
        std::fs::write(&ca, &relay.ca).unwrap();
        let mut outbound = json!({"provider": "smtp", "host": "localhost", "port": relay.port, "security": security,
            "username": "rowan", "password": "secret", "caFile": ca});
        set(&world, &outbound);
        let sent = send(&world).await;
        assert_eq!(
            (sent.state, sent.status_code),
            (Outgoing::Sent, 250),
            "{security}: {}",
            sent.response_message
        );
        assert!(relay.heard.lock().unwrap().contains(&"Subject: Greetings".to_owned()));
        // A wrong password costs no letter, and a relay that nobody vouches for hears nothing.
        outbound["password"] = json!("wrong");
        set(&world, &outbound);
        assert_eq!((send(&world).await.state, send(&world).await.status_code), (Outgoing::Pending, 535));
        let before = relay.heard.lock().unwrap().len();
        outbound["caFile"] = json!("");
        set(&world, &outbound);
        assert_eq!(send(&world).await.state, Outgoing::Pending);
        assert_eq!(relay.heard.lock().unwrap().len(), before);
    }
}

#[tokio::test]
async fn a_plain_relay_is_no_relay_with_tls() {
    let world = World::new().await;
    world.trial.state.lock().unwrap().answer_at_once = Some("Secret.".into());
    set(
        &world,
        &json!({"provider": "smtp", "host": "127.0.0.1", "port": world.relay.port, "security": "starttls"}),
    );
    world.deliver("trial1@example.com", mail("m1@x", "", "Hi")).await;
    until("an attempt", || (world.relay.attempts() > 0).then_some(())).await;
    until("it waits", || (world.desk().status().unwrap().instances[0].outbox.pending == 1).then_some(()))
        .await;
    assert!(world.relay.mails().is_empty());
}
