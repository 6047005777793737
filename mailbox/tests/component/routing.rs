//! Routes at the edge, against a server that speaks the provider's API.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use remotelab_config::Env;
use remotelab_mailbox::{Model, ProbeClass, ProbeOptions, Routing, RoutingError, RoutingOptions, probe};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::world::World;

/// A zone as the API shows it.
#[derive(Clone)]
struct Edge {
    zone: Arc<Mutex<Zone>>,
    url: String,
}

#[derive(Default)]
struct Zone {
    enabled: bool,
    subaddressing: bool,
    rules: Vec<Value>,
    catch_all: Value,
    writes: Vec<String>,
    /// Fails the write with this number.
    fails_at: Option<usize>,
}

impl Edge {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let zone = Zone {
            enabled: true,
            catch_all: json!({"id": "all", "name": "", "enabled": false, "matchers": [{"type": "all"}], "actions": [{"type": "drop"}]}),
            ..Zone::default()
        };
        let edge = Self { zone: Arc::new(Mutex::new(zone)), url };
        let app = Router::new().fallback(api).with_state(edge.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        edge
    }

    fn open(&self, world: &World, options: RoutingOptions) -> Routing {
        let mut env = Env::default();
        env.set("REMOTELAB_CLOUDFLARE_API", self.url.clone());
        env.set("CLOUDFLARE_API_TOKEN", "t");
        Routing::open(&world.desk(), &env, options).unwrap()
    }

    fn add(&self, id: &str, name: &str, address: &str, kind: &str, value: &str) {
        self.zone.lock().unwrap().rules.push(json!({"id": id, "tag": id, "name": name, "enabled": true, "priority": 7,
            "matchers": [{"type": "literal", "field": "to", "value": address}], "actions": [{"type": kind, "value": [value]}]}));
    }

    fn writes(&self) -> Vec<String> {
        self.zone.lock().unwrap().writes.clone()
    }
}

async fn api(State(edge): State<Edge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut zone = edge.zone.lock().unwrap();
    let ok =
        |result: Value| axum::Json(json!({"success": true, "errors": [], "result": result})).into_response();
    let no = |code: u32, message: &str| {
        let errors = json!([{"code": code, "message": message}]);
        (StatusCode::BAD_REQUEST, axum::Json(json!({"success": false, "errors": errors, "result": null})))
            .into_response()
    };
    if parts.headers.get("authorization").is_none_or(|value| value != "Bearer t") {
        return no(10000, "Authentication error");
    }
    let path = parts.uri.path().to_owned();
    if parts.method != Method::GET {
        if zone.fails_at == Some(zone.writes.len()) {
            return no(1004, "internal trouble");
        }
        zone.writes.push(format!("{} {}", parts.method, path.replace("/zones/z1/email/routing", "")));
    }
    match (parts.method.as_str(), path.strip_prefix("/zones/z1/email/routing").unwrap_or(&path)) {
        ("GET", "/zones") => ok(json!([{"id": "z1", "account": {"id": "a1"}}])),
        ("GET", "") => {
            ok(json!({"enabled": zone.enabled, "support_subaddress": zone.subaddressing, "status": "ready"}))
        }
        ("POST", "/dns") => {
            zone.enabled = true;
            ok(json!({}))
        }
        ("PATCH", "") => {
            zone.subaddressing = body["support_subaddress"] == true;
            ok(json!({}))
        }
        ("GET", "/rules/catch_all") => ok(zone.catch_all.clone()),
        ("PUT", "/rules/catch_all") => {
            zone.catch_all = body;
            ok(json!({}))
        }
        ("GET", "/rules") => {
            let number = |key: &str| {
                let query = parts.uri.query().unwrap_or_default();
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse::<usize>().ok())
                    .unwrap()
            };
            let (page, size) = (number("page"), number("per_page"));
            let shown: Vec<_> = zone.rules.iter().skip((page - 1) * size).take(size).cloned().collect();
            let info = json!({"page": page, "per_page": size, "total_pages": zone.rules.len().div_ceil(size).max(1)});
            axum::Json(json!({"success": true, "errors": [], "result": shown, "result_info": info}))
                .into_response()
        }
        ("POST", "/rules") => {
            let mut rule = body;
            rule["id"] = json!(format!("r{}", zone.writes.len()));
            zone.rules.push(rule);
            ok(json!({}))
        }
        (method, rule) => {
            let id = rule.rsplit('/').next().unwrap().to_owned();
            let Some(at) = zone.rules.iter().position(|rule| rule["id"] == id.as_str()) else {
                return no(2018, "rule not found");
            };
            if method == "DELETE" {
                zone.rules.remove(at);
            } else {
                let mut rule = body;
                rule["id"] = json!(id);
                zone.rules[at] = rule;
            }
            ok(json!({}))
        }
    }
}

fn options(model: Model) -> RoutingOptions {
    RoutingOptions { model: Some(model), ..RoutingOptions::default() }
}

#[tokio::test]
async fn what_is_missing_is_made_once_and_what_is_gone_is_taken_away() {
    let world = World::without_bridge().await;
    let edge = Edge::start().await;
    // On the third page.
    for n in 0..110 {
        edge.add(&format!("f{n}"), "somebody's", &format!("p{n}@example.com"), "forward", "me@x.test");
    }
    edge.add("old", "remotelab-mailbox-trial9", "trial9@example.com", "worker", "remotelab-email-worker");
    edge.add("hand", "by hand", "extra@example.com", "worker", "remotelab-email-worker");
    edge.zone.lock().unwrap().enabled = false;
    let routing = edge.open(&world, options(Model::Plus));
    let planned = routing.plan().await.unwrap();
    let kinds: Vec<_> = planned["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["type"], one["action"]).replace('"', ""))
        .collect();
    assert_eq!(
        kinds,
        ["dns enabled", "settings updated", "literal_worker_rule created", "literal_worker_rule deleted"]
    );
    assert!(edge.writes().is_empty(), "a plan changes nothing");
    assert!(planned["drift"].to_string().contains("extra@example.com"));
    let done = routing.apply(true).await.unwrap();
    assert_eq!(done["operations"], planned["operations"]);
    assert_eq!(edge.writes(), ["POST /dns", "PATCH ", "POST /rules", "DELETE /rules/old"]);
    let again = routing.apply(true).await.unwrap();
    assert_eq!((again["operations"].clone(), edge.writes().len()), (json!([]), 4));
    assert_eq!(edge.zone.lock().unwrap().rules.len(), 112);
    let status = routing.status().await;
    assert_eq!(
        (&status["inPlace"], &status["live"]["settings"]["status"]),
        (&json!(["rowan@example.com"]), &json!("ready"))
    );
}

#[tokio::test]
async fn a_rule_of_somebody_else_is_a_conflict_until_it_is_adopted() {
    let world = World::without_bridge().await;
    let edge = Edge::start().await;
    edge.add("mine", "my own", "rowan@example.com", "forward", "me@x.test");
    edge.add("two", "my own", "rowan@example.com", "worker", "remotelab-email-worker");
    let routing = edge.open(&world, options(Model::LocalPart));
    assert!(matches!(routing.apply(true).await, Err(RoutingError::Conflicts(1))));
    assert!(edge.writes().is_empty());
    let done = routing.apply(false).await.unwrap();
    assert_eq!(done["conflicts"][0]["action"], r#"forward ["me@x.test"]"#);
    assert_eq!(edge.writes(), ["POST /rules", "POST /rules", "POST /rules"], "postmaster, abuse, trial1");
    assert!(routing.plan().await.unwrap()["drift"][0].as_str().unwrap().contains("two rules"));
    let adopting = RoutingOptions { adopt: true, ..options(Model::LocalPart) };
    edge.open(&world, adopting).apply(true).await.unwrap();
    assert_eq!(edge.writes().last().unwrap(), "PUT /rules/mine");
    assert_eq!(edge.zone.lock().unwrap().rules[0]["priority"], 7);

    // One rule for all, which is nobody's as long as it drops.
    let all = edge.open(&world, options(Model::CatchAll));
    all.apply(true).await.unwrap();
    assert_eq!(edge.zone.lock().unwrap().catch_all["actions"][0]["value"], json!(["remotelab-email-worker"]));
    edge.zone.lock().unwrap().catch_all = json!({"enabled": true, "name": "x", "matchers": [{"type": "all"}], "actions": [{"type": "forward", "value": ["me@x.test"]}]});
    assert!(matches!(all.apply(true).await, Err(RoutingError::Conflicts(1))));
}

#[tokio::test]
async fn trouble_half_way_tells_what_was_done() {
    let world = World::without_bridge().await;
    let edge = Edge::start().await;
    edge.zone.lock().unwrap().fails_at = Some(1);
    let routing = edge.open(&world, options(Model::LocalPart));
    let error = routing.apply(true).await.unwrap_err().to_string();
    assert!(error.contains("1004:internal trouble") && error.contains("rowan@example.com"), "{error}");
    edge.zone.lock().unwrap().fails_at = None;
    routing.apply(true).await.unwrap();
    assert_eq!(edge.zone.lock().unwrap().rules.len(), 4);
    let status = {
        let mut env = Env::default();
        env.set("REMOTELAB_CLOUDFLARE_API", edge.url.clone());
        env.set("CLOUDFLARE_API_TOKEN", "wrong");
        Routing::open(&world.desk(), &env, RoutingOptions::default()).unwrap().status().await
    };
    assert_eq!(status["live"]["error"], "10000:Authentication error");
    let nothing = Routing::open(&world.desk(), &Env::default(), RoutingOptions::default());
    assert!(matches!(nothing, Err(RoutingError::Credentials(_))));
}

/// A mail server that answers each line in turn.
async fn server(replies: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            for reply in replies {
                let _ = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
                let _ = stream.read_line(&mut line).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn each_answer_of_a_mail_server_has_its_class() {
    for (replies, class, code) in [
        (&["220 mx", "250-mx\r\n250 SIZE", "250 ok", "250 2.1.5 ok"][..], ProbeClass::Accepted, 250),
        (&["220 mx", "250 mx", "250 ok", "550 5.1.1 nobody"], ProbeClass::RejectedUnknownUser, 550),
        (&["220 mx", "250 mx", "250 ok", "550 5.7.1 policy"], ProbeClass::RejectedPolicy, 550),
        (&["220 mx", "250 mx", "250 ok", "451 later"], ProbeClass::Deferred, 451),
        (&["220 mx", "250 mx", "553 no null path"], ProbeClass::SenderRefused, 553),
        (&["220 mx", "250 mx", "530 5.7.0 STARTTLS first"], ProbeClass::TlsRequired, 530),
        (&["HTTP/1.1 200 OK"], ProbeClass::ProtocolError, 0),
    ] {
        let options = ProbeOptions {
            address: "trial1@example.com".into(),
            mx_host: Some("127.0.0.1".into()),
            port: server(replies).await,
            hello: "host.test".into(),
        };
        let told = probe(&Env::default(), &options).await;
        assert_eq!(
            (told.class, told.code, told.accepted),
            (class, code, class == ProbeClass::Accepted),
            "{replies:?}"
        );
    }
    let world = World::without_bridge().await;
    let mut options =
        ProbeOptions { address: "a@nowhere.test".into(), mx_host: None, port: 25, hello: "host.test".into() };
    assert_eq!(probe(&world.env(), &options).await.class, ProbeClass::DnsNoMx);
    world.dns.trouble("nowhere.test");
    options.address = "a@trouble.test".into();
    world.dns.trouble("trouble.test");
    assert_eq!(probe(&world.env(), &options).await.class, ProbeClass::DnsError);
    let closed = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() };
    options = ProbeOptions { mx_host: Some("127.0.0.1".into()), port: closed, ..options };
    assert_eq!(probe(&world.env(), &options).await.class, ProbeClass::ConnectFailed);
}
