//! What is written down of a request, and what is not.

use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{Client, get, raw, read_until};
use crate::toy::Toy;
use crate::world::{World, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_line_tells_what_happened_and_opens_no_door() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    let mut client = Client::connect(world.address).await;
    let path = format!("/trial1/share/snap_{SECRET}/x?token={SECRET}&session=1");
    let headers = [("cookie", "trial1__session_token=secret"), ("user-agent", "Agent \"7\"")];
    let got = client.send("POST", &path, &headers, "12345").await;
    let line = &lines(&world, 1).await[0];
    for key in ["ts", "ttfbMs", "upstreamMs", "totalMs"] {
        assert!(line[key].is_string() || line[key].is_number(), "{key} in {line}");
    }
    assert_eq!(
        without(line, &["ts", "ttfbMs", "upstreamMs", "totalMs"]),
        json!({
            "listener": "default", "client": "127.0.0.1", "requestId": got.header("x-request-id").unwrap(),
            "method": "POST", "path": "/trial1/share/***/x?token&session", "protocol": "HTTP/1.1",
            "ua": "Agent \"7\"", "tenant": "trial1", "instanceId": "trial1", "status": 200,
            "bytesIn": 5, "bytesOut": 5, "connReused": false,
        })
    );
    assert!(!line.to_string().contains("secret") && !line.to_string().contains(SECRET));

    get(world.address, "/nobody/x?a=1", &[]).await;
    client.send("HEAD", "/trial1/", &[], "").await;
    let own = &lines(&world, 3).await[1..];
    let brief: Vec<Value> =
        own.iter().map(|line| json!([line["status"], line["path"], line["tenant"], line["abort"]])).collect();
    let expected = [json!([404, "/nobody/x?a", null, null]), json!([200, "/trial1/", "trial1", null])];
    assert_eq!(brief, expected);
    assert_eq!(own[1]["connReused"], true);
}

#[tokio::test]
async fn who_breaks_off_is_told() {
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    world.write_registry(&json!([world.record("trial1", "", slow.local_addr().unwrap().port())]).to_string());
    world.admin("POST", "/reload").await;
    for (answer, client_goes) in [
        ("", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false),
    ] {
        let mut client = TcpStream::connect(world.address).await.unwrap();
        client.write_all(b"GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let (mut instance, _) = slow.accept().await.unwrap();
        read_until(&mut instance, "\r\n\r\n").await;
        instance.write_all(answer.as_bytes()).await.unwrap();
        if !answer.is_empty() {
            read_until(&mut client, "half").await;
        }
        if client_goes {
            drop(client);
            let _ = instance.read(&mut [0; 1]).await;
        } else {
            drop(instance);
            read_until(&mut client, "never").await;
        }
    }
    raw(world.address, "nonsense\r\n\r\n").await;
    let told: Vec<Value> =
        lines(&world, 4).await.iter().map(|line| json!([line["status"], line["abort"]])).collect();
    let expected = [
        json!([null, "client_aborted"]),
        json!([200, "client_aborted"]),
        json!([200, "upstream_aborted"]),
        json!([null, "malformed"]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_socket_is_one_line_at_its_end() {
    use crate::websockets::{ACCEPT, HANDSHAKE, SWITCHING};
    let instance = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let port = instance.local_addr().unwrap().port();
    world.write_registry(&json!([world.record("trial1", "", port)]).to_string());
    world.admin("POST", "/reload").await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (mut instance, _) = instance.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    instance.write_all(format!("{SWITCHING}{ACCEPT}\r\n12345").as_bytes()).await.unwrap();
    read_until(&mut client, "12345").await;
    client.write_all(b"123").await.unwrap();
    read_until(&mut instance, "123").await;
    drop((client, instance));
    let line = &lines(&world, 1).await[0];
    assert_eq!(
        json!([line["status"], line["bytesIn"], line["bytesOut"], line["abort"]]),
        json!([101, 3, 5, null])
    );
}

#[tokio::test]
async fn a_tenant_may_stay_out_of_the_log_and_of_what_goes_well_a_sample_is_enough() {
    let failing = |seen: &crate::toy::Seen| {
        let status = if seen.target == "/bad" { 500 } else { 200 };
        Response::builder().status(status).body(Full::default()).unwrap()
    };
    let (owner, guest) = (Toy::start(failing).await, Toy::hello("guest").await);
    let world = World::with(&owner, &[], |settings| settings.log.sample = u32::MAX).await;
    let mut record = world.record("trial1", "", guest.port());
    record["accessLog"] = json!(false);
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    for path in ["/trial1/", "/owner/", "/owner/bad", "/trial1/", "/owner/"] {
        get(world.address, path, &[]).await;
    }
    let mut world = world;
    world.running.take().unwrap().shutdown().await;
    let paths: Vec<Value> = read(&world).iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["/owner/bad"]);
}

#[tokio::test]
async fn a_trace_shows_one_tenant_even_where_nothing_is_written() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "", &guest)], |settings| settings.log.access = false).await;
    let mut watching = Vec::new();
    for _ in 0..4 {
        let mut stream = UnixStream::connect(&world.settings.socket).await.unwrap();
        stream.write_all(b"GET /trace?tenant=trial1&seconds=60 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
        watching.push(stream);
    }
    for (query, status) in [
        ("tenant=trial1", 503),
        ("tenant=nobody", 404),
        ("", 404),
        ("tenant=trial1&seconds=0", 400),
        ("tenant=trial1&seconds=x", 400),
    ] {
        assert_eq!(world.admin("GET", &format!("/trace?{query}")).await.0, status, "{query}");
    }
    get(world.address, "/owner/other", &[]).await;
    get(world.address, &format!("/trial1/{SECRET}"), &[]).await;
    let line = until(&mut watching[0], "}").await;
    assert!(line.contains(r#""path":"/trial1/***""#) && !line.contains("other"), "{line}");
    drop(watching);
    eventually("a place is free", || async {
        get(world.address, "/trial1/", &[]).await;
        let mut stream = UnixStream::connect(&world.settings.socket).await.unwrap();
        stream.write_all(b"GET /trace?tenant=trial1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 200")
    })
    .await;
    assert!(!world.settings.log.file.exists());
}

async fn until(stream: &mut UnixStream, end: &str) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with(end) && stream.read(&mut byte).await.is_ok_and(|n| n > 0) {
        text.push(byte[0].into());
    }
    text
}

fn read(world: &World) -> Vec<Value> {
    let text = std::fs::read_to_string(&world.settings.log.file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn lines(world: &World, count: usize) -> Vec<Value> {
    eventually("all lines are written", || async { read(world).len() >= count }).await;
    read(world)
}

fn without(line: &Value, keys: &[&str]) -> Value {
    let mut line = line.clone();
    for key in keys {
        line.as_object_mut().unwrap().remove(*key);
    }
    line
}
