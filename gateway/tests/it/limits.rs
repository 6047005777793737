//! Too much is refused politely, and nobody pays for another.

use http::Response;
use http_body_util::Full;
use remotelab_gateway::Settings;
use remotelab_gateway::limit::Rate;
use remotelab_gateway::limit::bandwidth::Bandwidth;
use remotelab_gateway::listener::ClientIp;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, Got, get, read_until};
use crate::toy::{Seen, Toy};
use crate::websockets::{ACCEPT, HANDSHAKE, SWITCHING};
use crate::world::{World, eventually};

const HANGING: &str = "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn one_client_asks_too_often_and_others_do_not() {
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        behind_edge(settings);
        settings.limits.client_rate = Rate::per_second(1, 30);
    })
    .await;
    // A page and what belongs to it at once.
    for _ in 0..30 {
        assert_eq!(asks(&world, "/owner/", "10.0.0.1").await.status, 200);
    }
    for path in ["/owner/api/x", "/nobody/api/x"] {
        let got = asks(&world, path, "10.0.0.1").await;
        assert_eq!((got.status.as_u16(), got.header("retry-after")), (429, Some("1")), "{path}");
        assert!(got.text().starts_with(r#"{"error":"too_many_requests""#), "{}", got.text());
    }
    assert_eq!(asks(&world, "/owner/", "10.0.0.2").await.status, 200);
    assert_eq!(world.admin("GET", "/health").await.1["refused"], json!({ "client_rate": 2 }));
}

#[tokio::test]
async fn a_tenant_is_asked_too_often_and_another_is_not() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[]).await;
    let mut record = world.record("trial1", "", guest.port());
    record["limits"] = json!({ "rate": 1, "burst": 3 });
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    let mut client = Client::connect(world.address).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.send("POST", "/trial1/", &[], "x").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(client.send("GET", "/owner/", &[], "").await.text(), "owner");
    // A reload is no amnesty.
    record["hostname"] = json!("t.example.com");
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, 429);
}

#[tokio::test]
async fn requests_wait_for_their_turn_and_what_is_too_much_is_a_503() {
    let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.limits.tenant.requests = 1;
        settings.limits.tenant.queue = 1;
    })
    .await;
    before(&world, &instance).await;
    let mut first = TcpStream::connect(world.address).await.unwrap();
    first.write_all(HANGING.as_bytes()).await.unwrap();
    let (mut at_work, _) = instance.accept().await.unwrap();
    read_until(&mut at_work, "\r\n\r\n").await;
    // Of the next two one waits and the other is told to come again.
    let mut second = TcpStream::connect(world.address).await.unwrap();
    let mut third = TcpStream::connect(world.address).await.unwrap();
    second.write_all(HANGING.as_bytes()).await.unwrap();
    third.write_all(HANGING.as_bytes()).await.unwrap();
    tokio::select! {
        _ = second.readable() => std::mem::swap(&mut second, &mut third),
        _ = third.readable() => {}
    }
    let refused = read_until(&mut third, "</html>").await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 2\r\n"), "{refused}");
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
    at_work.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst").await.unwrap();
    assert!(read_until(&mut first, "first").await.ends_with("first"));
    assert!(read_until(&mut at_work, "\r\n\r\n").await.starts_with("GET / "));
    at_work.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond").await.unwrap();
    assert!(read_until(&mut second, "second").await.ends_with("second"));
    eventually("nothing is in work", || async { world.in_work("trial1").await == (0, 0) }).await;
}

#[tokio::test]
async fn who_waits_and_goes_leaves_no_trace_and_streams_take_no_place() {
    let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        settings.limits.tenant.requests = 1;
        settings.limits.tenant.queue = 1;
    })
    .await;
    before(&world, &instance).await;
    for _ in 0..5 {
        let mut gone = TcpStream::connect(world.address).await.unwrap();
        gone.write_all(HANGING.as_bytes()).await.unwrap();
        let (mut at_work, _) = instance.accept().await.unwrap();
        read_until(&mut at_work, "\r\n\r\n").await;
        drop(gone);
        eventually("its place is free", || async { world.in_work("trial1").await == (0, 0) }).await;
    }
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(HANGING.as_bytes()).await.unwrap();
        let (mut at_work, _) = instance.accept().await.unwrap();
        read_until(&mut at_work, "\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        at_work.write_all(format!("{head}data: 1\n\n").as_bytes()).await.unwrap();
        assert!(read_until(&mut stream, "data: 1").await.contains("data: 1"));
        streams.push((stream, at_work));
    }
}

#[tokio::test]
async fn sockets_are_counted_by_client_and_by_tenant_until_they_are_closed() {
    let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::with(&owner, &[], |settings| {
        behind_edge(settings);
        settings.limits.client_sockets = 2;
        settings.limits.tenant.sockets = 3;
    })
    .await;
    before(&world, &instance).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = instance.accept().await {
            tokio::spawn(async move {
                read_until(&mut stream, "\r\n\r\n").await;
                let _ = stream.write_all(format!("{SWITCHING}{ACCEPT}\r\n").as_bytes()).await;
                let _ = stream.read(&mut [0; 1]).await;
            });
        }
    });
    let mut open = Vec::new();
    for (client, status) in [(1, 101), (1, 101), (1, 429), (2, 101), (2, 503), (3, 503)] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let edge = format!("HTTP/1.1\r\ncf-connecting-ip: 10.0.0.{client}\r\n");
        stream.write_all(HANDSHAKE.replacen("HTTP/1.1\r\n", &edge, 1).as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{client}: {answer}");
        open.push(stream);
    }
    assert_eq!(world.in_work("trial1").await, (0, 3));
    drop(open);
    eventually("all are closed", || async { world.in_work("trial1").await == (0, 0) }).await;
}

#[tokio::test]
async fn a_tenant_has_so_many_connections() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "", &guest)], |settings| {
        settings.limits.tenant.connections = 1;
    })
    .await;
    let mut one = Client::connect(world.address).await;
    assert_eq!(one.send("GET", "/trial1/", &[], "").await.status, 200);
    let refused = get(world.address, "/trial1/", &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("connection")), (503, Some("close")));
    assert_eq!(one.send("GET", "/trial1/", &[], "").await.status, 200);
    assert_eq!(get(world.address, "/owner/", &[]).await.status, 200);
    drop(one);
    eventually("the place is free", || async { get(world.address, "/trial1/", &[]).await.status == 200 })
        .await;
}

#[tokio::test]
async fn guesses_of_one_client_lock_nobody_else_out() {
    let owner = Toy::start(door).await;
    let guest = Toy::start(door).await;
    let world = World::with(&owner, &[("trial1", "", &guest)], behind_edge).await;
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let got = asks(&world, "/owner/?token=wrong", "10.0.0.1").await;
        statuses.push(got.status.as_u16());
        if got.status == 429 {
            let seconds: u32 = got.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=12).contains(&seconds), "{seconds}");
        }
    }
    assert_eq!((statuses[..5].to_vec(), &statuses[5..]), (vec![302; 5], &[429; 95][..]));
    assert_eq!(owner.take().len(), 5);
    // Not the valid link of another, not that of the same client to another place, not other requests.
    for (path, client) in [("/owner/?token=right", "10.0.0.2"), ("/trial1/?token=right", "10.0.0.1")] {
        let got = asks(&world, path, client).await;
        assert_eq!(got.status, 302);
        assert!(got.header("set-cookie").unwrap().contains("__session_token=new"), "{path}");
    }
    assert_eq!(asks(&world, "/owner/", "10.0.0.1").await.status, 200);
    // What succeeds is no guess, however often.
    for _ in 0..20 {
        assert_eq!(asks(&world, "/owner/?token=right", "10.0.0.3").await.status, 302);
    }
}

#[tokio::test]
async fn who_cannot_be_told_from_others_is_not_locked_out_with_them() {
    let owner = Toy::start(door).await;
    let world = World::new(&owner, &[]).await;
    for _ in 0..30 {
        assert_eq!(get(world.address, "/owner/?token=wrong", &[]).await.status, 302);
    }
    let got = get(world.address, "/owner/?token=right", &[]).await;
    assert!(got.header("set-cookie").is_some());
}

/// An instance that takes one token.
fn door(seen: &Seen) -> Response<Full<bytes::Bytes>> {
    let response = Response::builder();
    let response = match seen.target.as_str() {
        "/?token=right" => {
            response.status(302).header("location", "/").header("set-cookie", "session_token=new; Path=/")
        }
        "/?token=wrong" => response.status(302).header("location", "/login?error=1&mode=token"),
        _ => response,
    };
    response.body(Full::default()).unwrap()
}

fn behind_edge(settings: &mut Settings) {
    settings.listeners[0].client_ip = ClientIp::CfConnectingIp;
}

async fn asks(world: &World, path: &str, client: &str) -> Got {
    get(world.address, path, &[("cf-connecting-ip", client)]).await
}

/// Leads `/trial1/` to a bare socket.
async fn before(world: &World, instance: &TcpListener) {
    let port = instance.local_addr().unwrap().port();
    world.write_registry(&json!([world.record("trial1", "", port)]).to_string());
    world.admin("POST", "/reload").await;
}

#[tokio::test]
async fn answers_of_a_tenant_share_its_bandwidth() {
    let toy = Toy::start(|_| Response::new(Full::from(vec![b'x'; 20_000]))).await;
    let world = World::with(&toy, &[], |settings| {
        settings.limits.tenant.bandwidth = Bandwidth(100_000);
    })
    .await;
    let began = std::time::Instant::now();
    let ask = || get(world.address, "/owner/", &[]);
    let first = tokio::join!(ask(), ask(), ask(), ask());
    assert_eq!(first.3.body.len(), 20_000);
    assert_eq!(ask().await.body.len(), 20_000);
    // The first 100 KB take a second, but for what may leave at once after a rest and the last piece.
    assert!(began.elapsed() > std::time::Duration::from_millis(500), "{:?}", began.elapsed());
}
