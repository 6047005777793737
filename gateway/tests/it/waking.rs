//! Instances that sleep, start anew, or are not who they should be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use remotelab_gateway::supervisor::{Supervisor, Waiting};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::client::{Client, get, read_until};
use crate::toy::Toy;
use crate::world::{World, eventually};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const COOKIE: (&str, &str) =
    ("cookie", "trial1__session_token=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
const HTML: (&str, &str) = ("accept", "text/html");

#[tokio::test]
async fn fifty_first_requests_are_one_start() {
    let (world, bedside, guest) = asleep().await;
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..50 {
        let address = world.address;
        crowd.spawn(async move {
            let mut client = Client::connect(address).await;
            client.send("POST", &format!("/trial1/api/{number}"), &[COOKIE], "body").await
        });
    }
    eventually("somebody wakes it", || async { bedside.wakes.load(Ordering::SeqCst) == 1 }).await;
    assert_eq!(state(&world).await, "starting");
    assert!(guest.take().is_empty());
    bedside.starts.add_permits(1);
    while let Some(got) = crowd.join_next().await {
        assert_eq!(got.unwrap().text(), "guest");
    }
    assert_eq!((guest.take().len(), bedside.wakes.load(Ordering::SeqCst)), (50, 1));
    assert_eq!(state(&world).await, "ready");
    let figures = figures(&world).await;
    assert!(figures.contains("gateway_wake_seconds_count 1\n"), "{figures}");
}

#[tokio::test]
async fn strangers_and_robots_wake_nobody() {
    let (world, bedside, guest) = asleep().await;
    let page = get(world.address, "/trial1/", &[HTML]).await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, Some("60")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(
        page.text().contains("This place is asleep") && !page.text().contains("<script"),
        "{}",
        page.text()
    );
    let page = get(world.address, "/trial1/", &[HTML, ("accept-language", "zh-CN")]).await;
    assert!(page.text().contains("这里正在休眠"), "{}", page.text());
    let answer = get(world.address, "/trial1/api/sessions", &[]).await;
    assert!(answer.text().starts_with(r#"{"error":"asleep","requestId":""#), "{}", answer.text());
    for target in ["/trial1/favicon.ico", "/trial1/api/build-info", "/trial1/api/health"] {
        assert_eq!(get(world.address, target, &[COOKIE]).await.status, 503, "{target}");
    }
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
    assert_eq!((bedside.wakes.load(Ordering::SeqCst), guest.take().len()), (0, 0));
}

#[tokio::test]
async fn a_page_waits_and_goes_on() {
    let (world, bedside, guest) = asleep().await;
    let link = format!("/trial1/?token={TOKEN}");
    let page = get(world.address, &link, &[HTML]).await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, Some("2")));
    let ready = "/trial1/_gateway/ready";
    assert!(page.text().contains(&format!("data-ready=\"{ready}\"")), "{}", page.text());
    assert!(!page.text().contains(TOKEN));
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'sha256-"));
    assert_eq!(get(world.address, ready, &[]).await.text(), r#"{"state":"starting"}"#);
    // What belongs to the gateway never reaches an instance.
    assert_eq!(get(world.address, "/trial1/_gateway/other", &[COOKIE]).await.status, 404);
    bedside.starts.add_permits(1);
    eventually("it is ready", || async {
        get(world.address, ready, &[]).await.text() == r#"{"state":"ready"}"#
    })
    .await;
    assert_eq!(get(world.address, &link, &[HTML]).await.text(), "guest");
    assert_eq!((bedside.wakes.load(Ordering::SeqCst), guest.take().len()), (1, 1));
}

#[tokio::test]
async fn one_who_wakes_at_once_shows_no_page() {
    let (world, bedside, _guest) = asleep().await;
    bedside.starts.add_permits(1);
    let page = get(world.address, &format!("/trial1/?token={TOKEN}"), &[HTML]).await;
    assert_eq!(page.text(), "guest");
}

#[tokio::test]
async fn the_sixty_fifth_is_asked_to_come_again() {
    let (world, bedside, _guest) = asleep().await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..65 {
        let address = world.address;
        crowd.spawn(async move { get(address, "/trial1/api/x", &[COOKIE]).await });
    }
    let first = crowd.join_next().await.unwrap().unwrap();
    assert_eq!((first.status.as_u16(), first.header("retry-after")), (503, Some("2")));
    assert!(first.text().starts_with(r#"{"error":"busy""#), "{}", first.text());
    bedside.starts.add_permits(1);
    while let Some(got) = crowd.join_next().await {
        assert_eq!(got.unwrap().text(), "guest");
    }
}

#[tokio::test]
async fn one_that_does_not_start_is_said_so_and_tried_again() {
    let (world, bedside, _guest) = asleep().await;
    bedside.fails.store(true, Ordering::SeqCst);
    bedside.starts.add_permits(2);
    let got = get(world.address, "/trial1/api/x", &[COOKIE]).await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (503, Some("2")));
    assert!(got.text().starts_with(r#"{"error":"waking""#), "{}", got.text());
    assert_eq!(state(&world).await, "asleep");
    bedside.fails.store(false, Ordering::SeqCst);
    assert_eq!(get(world.address, "/trial1/api/x", &[COOKIE]).await.text(), "guest");
}

#[tokio::test]
async fn an_instance_in_use_is_not_parked() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (world, bedside, guest) = asleep().await;
    let record = world.record("trial2", "", slow.local_addr().unwrap().port());
    world.write_registry(&json!([world.record("trial1", "", guest.port()), record]).to_string());
    world.admin("POST", "/reload").await;
    let mut busy = TcpStream::connect(world.address).await.unwrap();
    busy.write_all(b"GET /trial2/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let (mut instance, _) = slow.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    assert_eq!(world.admin("POST", "/park?name=trial2").await, (409, json!({"error": "in_use"})));
    // An event stream may last for hours, and is a use all the same.
    instance
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        .await
        .unwrap();
    read_until(&mut busy, "data: 1").await;
    assert_eq!(world.admin("POST", "/park?name=trial2").await.0, 409);
    drop(busy);
    eventually("it is used no more", || async {
        world.admin("POST", "/park?name=trial2").await == (200, json!({"name": "trial2", "state": "asleep"}))
    })
    .await;
    assert_eq!(get(world.address, "/trial2/", &[]).await.status, 503);
    assert_eq!(world.admin("POST", "/unpark?name=trial2").await.0, 200);
    assert_eq!(world.admin("POST", "/park?name=owner").await.0, 404);
    assert_eq!(bedside.wakes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_not_sent_waits_for_a_restart() {
    let (world, bedside, guest) = restarting().await;
    bedside.starts.add_permits(8);
    let mut client = Client::connect(world.address).await;
    // Nobody listens until it is woken.
    let got = client.send("POST", "/trial1/api/x", &[], "body").await;
    assert_eq!(got.text(), "back");
    assert_eq!(guest.lock().unwrap().as_ref().unwrap().targets(), ["POST /api/x"]);
}

#[tokio::test]
async fn what_was_sent_is_not_repeated_unless_it_may_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", listener.local_addr().unwrap().port())));
    world.admin("POST", "/reload").await;
    for (method, tries) in [("POST", 1), ("GET", 2)] {
        let asking = tokio::spawn({
            let address = world.address;
            async move { Client::connect(address).await.send(method, "/trial1/", &[], "").await }
        });
        for _ in 0..tries {
            let (mut instance, _) = listener.accept().await.unwrap();
            read_until(&mut instance, "\r\n\r\n").await;
        }
        assert_eq!(asking.await.unwrap().status, 502, "{method}");
    }
}

#[tokio::test]
async fn another_instance_is_never_served() {
    let id = Arc::new(Mutex::new("theirs"));
    let told = Arc::clone(&id);
    let guest = Toy::start(move |_| {
        let id = *told.lock().unwrap();
        Response::builder().header("x-remotelab-instance", id).body(Full::from("guest")).unwrap()
    })
    .await;
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let mut record = world.record("trial1", "", guest.port());
    record["id"] = json!("mine");
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    let got = get(world.address, "/trial1/api/secret", &[COOKIE]).await;
    assert_eq!(got.status, 502);
    assert!(got.text().starts_with(r#"{"error":"wrong_instance""#), "{}", got.text());
    assert_eq!(guest.targets(), ["GET /api/build-info"]);
    assert_eq!(state(&world).await, "mismatch");
    *id.lock().unwrap() = "mine";
    eventually("the right one is found", || async {
        get(world.address, "/trial1/x", &[]).await.text() == "guest"
    })
    .await;
    assert_eq!(state(&world).await, "ready");
    guest.take();
    get(world.address, "/trial1/x", &[]).await;
    assert_eq!(guest.targets(), ["GET /x"], "it is asked once");
}

#[tokio::test]
async fn one_that_is_gone_is_left_alone_for_a_while() {
    let guest = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = guest.local_addr().unwrap().port();
    drop(guest);
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", port)));
    world.admin("POST", "/reload").await;
    for _ in 0..3 {
        assert_eq!(get(world.address, "/trial1/", &[]).await.status, 502);
    }
    assert_eq!(state(&world).await, "down");
    let before = std::time::Instant::now();
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, 502);
    assert!(before.elapsed() < Duration::from_millis(100), "nobody is held for it");
    let _guest = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = _guest.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    eventually("it is tried again", || async { get(world.address, "/trial1/", &[]).await.status == 200 })
        .await;
    assert_eq!(state(&world).await, "ready");
}

/// Starts instances as the test says.
#[derive(Debug)]
struct Bedside {
    asleep: Vec<String>,
    wakes: AtomicUsize,
    /// A start takes one.
    starts: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
    /// Where the instance is started, if it is.
    place: Option<(u16, Guest)>,
}

type Guest = Arc<Mutex<Option<Toy>>>;

impl Supervisor for Bedside {
    fn wake(&self, name: &str) -> Waiting<Result<(), String>> {
        assert_eq!(name, "trial1");
        self.wakes.fetch_add(1, Ordering::SeqCst);
        let (starts, fails, place) = (Arc::clone(&self.starts), Arc::clone(&self.fails), self.place.clone());
        Box::pin(async move {
            starts.acquire().await.map_err(|error| error.to_string())?.forget();
            if fails.load(Ordering::SeqCst) {
                return Err("no".to_owned());
            }
            if let Some((port, guest)) = place {
                let is_absent = guest.lock().unwrap().is_none();
                if is_absent {
                    let toy = Toy::on(port, |_| Response::new(Full::<Bytes>::from("back"))).await;
                    *guest.lock().unwrap() = Some(toy);
                }
            }
            Ok(())
        })
    }

    fn asleep(&self) -> Waiting<Option<Vec<String>>> {
        let asleep = self.asleep.clone();
        Box::pin(async move { Some(asleep) })
    }
}

fn bedside(asleep: &[&str], place: Option<(u16, Guest)>) -> Arc<Bedside> {
    Arc::new(Bedside {
        asleep: asleep.iter().map(|&name| name.to_owned()).collect(),
        wakes: AtomicUsize::new(0),
        starts: Arc::new(Semaphore::new(0)),
        fails: Arc::default(),
        place,
    })
}

/// A guest `trial1` that sleeps.
async fn asleep() -> (World, Arc<Bedside>, Toy) {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let bedside = bedside(&["trial1"], None);
    let world = World::under(Arc::clone(&bedside) as _, &owner, &[("trial1", "", &guest)], |_| {}).await;
    (world, bedside, guest)
}

/// A guest `trial1` that is gone until somebody wakes it.
async fn restarting() -> (World, Arc<Bedside>, Guest) {
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().port()
    };
    let (owner, guest) = (Toy::hello("owner").await, Guest::default());
    let bedside = bedside(&[], Some((port, Arc::clone(&guest))));
    let world = World::under(Arc::clone(&bedside) as _, &owner, &[], |settings| {
        settings.timeouts.restart = Duration::from_secs(3);
    })
    .await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", port)));
    world.admin("POST", "/reload").await;
    (world, bedside, guest)
}

async fn state(world: &World) -> String {
    let (_, answer) = world.admin("GET", "/routes").await;
    let routes = answer["routes"].as_array().unwrap();
    let route = routes.iter().find(|route| route["name"] == "trial1").unwrap();
    route["state"].as_str().unwrap().to_owned()
}

async fn figures(world: &World) -> String {
    let mut stream = tokio::net::UnixStream::connect(&world.settings.socket).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
