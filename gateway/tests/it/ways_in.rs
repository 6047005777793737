//! Who is believed about whom a connection comes from.

use remotelab_gateway::listener::ClientIp;

use crate::client::{get, raw};
use crate::toy::Toy;
use crate::world::World;

const REQUEST: &str = "GET /trial1/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_proxy_says_by_its_header_who_came() {
    let (world, toy) = behind(ClientIp::ProxyProtocol, "127.0.0.0/8").await;
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..],
        &[198, 51, 100, 7, 127, 0, 0, 1, 4, 210, 0, 80],
        REQUEST.as_bytes(),
    ];
    for (bytes, client) in [
        (format!("PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\n{REQUEST}").into_bytes(), "192.0.2.1"),
        (format!("PROXY TCP6 2001:db8::1 ::1 1 2\r\n{REQUEST}").into_bytes(), "2001:db8::1"),
        (format!("PROXY UNKNOWN\r\n{REQUEST}").into_bytes(), "127.0.0.1"),
        (v2.concat(), "198.51.100.7"),
    ] {
        assert!(raw(world.address, &bytes).await.starts_with("HTTP/1.1 200 "), "{client}");
        assert_eq!(toy.last().header("x-forwarded-for"), Some(client));
    }
    toy.take();
    for bytes in [REQUEST.to_owned(), format!("PROXY TCP4 nonsense\r\n{REQUEST}")] {
        assert_eq!(raw(world.address, &bytes).await, "");
    }
    assert!(toy.take().is_empty());
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let (world, toy) = behind(ClientIp::ProxyProtocol, "10.0.0.0/8").await;
    assert_eq!(raw(world.address, format!("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n{REQUEST}")).await, "");
    assert!(toy.take().is_empty());
    let (world, toy) = behind(ClientIp::CfConnectingIp, "10.0.0.0/8").await;
    get(world.address, "/trial1/", &[("cf-connecting-ip", "6.6.6.6"), ("cf-ray", "1")]).await;
    let seen = toy.last();
    assert_eq!((seen.header("x-forwarded-for"), seen.header("cf-ray")), (Some("127.0.0.1"), None));
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_keeps_nobody_from_the_others() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "", &guest)], |settings| {
        let mut away = settings.listeners[0].clone();
        // For documentation only, so nobody's (RFC 5737).
        away.bind = "192.0.2.1:7699".parse().unwrap();
        settings.listeners.push(away);
    })
    .await;
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "guest");
}

async fn behind(client_ip: ClientIp, peers: &str) -> (World, Toy) {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "", &guest)], |settings| {
        settings.listeners[0].client_ip = client_ip;
        settings.listeners[0].peers = vec![peers.parse().unwrap()];
    })
    .await;
    (world, guest)
}
