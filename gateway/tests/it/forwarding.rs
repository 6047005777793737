//! What an instance is told, and what it is not told.

use std::sync::atomic::Ordering;

use remotelab_config::{secret::Secret, vouch};
use remotelab_gateway::listener::{ClientIp, Mode, Scheme};

use crate::client::{Client, get, raw};
use crate::toy::Toy;
use crate::world::World;

#[tokio::test]
async fn a_prefix_route_strips_its_prefix_and_vouches_for_the_rest() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    let mut client = Client::connect(world.address).await;
    let got = client
        .send(
            "POST",
            "/trial1/a%20b%2Fc?q=%E4%BD%A0",
            &[("origin", "http://x"), ("accept-encoding", "br")],
            "body",
        )
        .await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "guest"));

    let seen = guest.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/a%20b%2Fc?q=%E4%BD%A0"));
    assert_eq!(seen.body, "body");
    let host = world.address.to_string();
    for (name, value) in [
        ("host", Some(host.as_str())),
        ("origin", Some("http://x")),
        ("accept-encoding", Some("br")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some(host.as_str())),
        ("x-forwarded-port", Some(&world.address.port().to_string())),
        ("x-forwarded-prefix", Some("/trial1")),
        ("x-request-id", got.header("x-request-id")),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let key = std::fs::read_to_string(world.instance_config("trial1").join("gateway-secret")).unwrap();
    let facts = vouch::Facts {
        method: "POST",
        target: "/a%20b%2Fc?q=%E4%BD%A0",
        prefix: "/trial1",
        client: "127.0.0.1",
        proto: "http",
        host: &host,
    };
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let signature = seen.header("x-remotelab-gateway").unwrap();
    assert!(vouch::verify(&Secret::parse(&key).unwrap(), now, &facts, signature));
}

#[tokio::test]
async fn what_clients_say_about_themselves_is_not_passed_on() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "t.example.com", &guest)], |settings| {
        let plain = settings.listeners[0].clone();
        let mut tunnel = plain.clone();
        tunnel.client_ip = ClientIp::LastForwardedFor;
        tunnel.scheme = Scheme::Https;
        let mut edge = plain;
        edge.client_ip = ClientIp::CfConnectingIp;
        edge.mode = Mode::Host;
        settings.listeners.extend([tunnel, edge]);
    })
    .await;
    let addresses = world.running.as_ref().unwrap().addresses().to_vec();
    let forged = [
        ("x-forwarded-for", "6.6.6.6, 7.7.7.7"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-prefix", "/\"><script>"),
        ("cf-connecting-ip", "8.8.8.8"),
        ("x-real-ip", "9.9.9.9"),
        ("forwarded", "for=9.9.9.9"),
        ("x-remotelab-gateway", "v1; ts=1; sig=00"),
        ("x-request-id", "forged"),
    ];
    for (address, host, client, proto, prefix) in [
        (addresses[0], "bridge", "127.0.0.1", "http", Some("/trial1")),
        (addresses[1], "bridge", "7.7.7.7", "https", Some("/trial1")),
        (addresses[2], "t.example.com", "8.8.8.8", "http", None),
    ] {
        let mut headers = forged.to_vec();
        headers.push(("host", host));
        let path = if prefix.is_some() { "/trial1/x" } else { "/x" };
        assert_eq!(get(address, path, &headers).await.status, 200);
        let seen = guest.last();
        assert_eq!(seen.target, "/x");
        assert_eq!(seen.headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(seen.header("x-forwarded-for"), Some(client));
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto));
        assert_eq!(seen.header("x-forwarded-host"), Some(host));
        assert_eq!(seen.header("x-forwarded-prefix"), prefix);
        assert_eq!(seen.header("x-real-ip"), None);
        assert_eq!(seen.header("forwarded"), None);
        assert_ne!(seen.header("x-request-id"), Some("forged"));
        assert_ne!(seen.header("x-remotelab-gateway"), Some("v1; ts=1; sig=00"));
    }
}

#[tokio::test]
async fn the_gateway_answers_for_itself_without_naming_anybody() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    let root = get(world.address, "/", &[]).await;
    assert_eq!((root.status.as_u16(), root.header("cache-control")), (200, Some("no-store")));
    assert!(!root.text().contains("trial1") && !root.text().contains("owner"));

    let redirect = get(world.address, "/trial1?token=x", &[]).await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (308, Some("/trial1/?token=x")));

    let unknown = get(world.address, "/nobody/", &[]).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().starts_with("<!doctype html>"));
    let api = get(world.address, "/nobody/api/x", &[]).await;
    let id = api.header("x-request-id").unwrap();
    assert_eq!(api.text(), format!(r#"{{"error":"not_found","requestId":"{id}"}}"#));

    drop(guest);
    let mut client = Client::connect(world.address).await;
    assert_eq!(client.send("POST", "/trial1?x=1", &[], "a").await.status, 200);
    assert_eq!(client.send("OPTIONS", "/trial1/", &[], "").await.status, 200);
}

#[tokio::test]
async fn an_instance_that_is_away_is_a_502_without_addresses() {
    let owner = Toy::hello("owner").await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", gone.port())));
    assert_eq!(world.admin("POST", "/reload").await.0, 200);
    let got = get(world.address, "/trial1/api/x", &[]).await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (502, Some("2")));
    let page = get(world.address, "/trial1/", &[("accept", "text/html")]).await;
    for text in [got.text(), page.text()] {
        assert!(!text.contains("127.0.0.1") && !text.contains(&gone.port().to_string()), "{text}");
    }
}

#[tokio::test]
async fn one_connection_to_the_instance_serves_many_requests() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let mut client = Client::connect(world.address).await;
    for _ in 0..20 {
        assert_eq!(client.send("GET", "/owner/", &[], "").await.text(), "owner");
        assert_eq!(client.send("POST", "/owner/", &[], "x".repeat(100_000)).await.text(), "owner");
    }
    assert_eq!(owner.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let answer = raw(world.address, "GET /owner/ HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("owner"), "{answer}");
}
