//! Figures for whoever watches the gateway.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::client::Client;
use crate::toy::Toy;
use crate::world::{World, eventually};

#[tokio::test]
async fn figures_are_by_tenant_and_end_with_it() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    let mut client = Client::connect(world.address).await;
    client.send("POST", "/trial1/", &[], "12345").await;
    client.send("GET", "/trial1/", &[], "").await;
    for unknown in ["/a/", "/b/", "/c/"] {
        client.send("GET", unknown, &[], "").await;
    }
    let figures = settled(&world, "gateway_requests_total{tenant=\"\",class=\"4xx\"} 3").await;
    for line in [
        "gateway_requests_total{tenant=\"trial1\",class=\"2xx\"} 2",
        "gateway_bytes_total{tenant=\"trial1\",direction=\"in\"} 5",
        "gateway_bytes_total{tenant=\"trial1\",direction=\"out\"} 10",
        "gateway_requests_in_flight{tenant=\"trial1\"} 0",
        "gateway_sockets_open{tenant=\"trial1\"} 0",
        "gateway_connections_pooled{tenant=\"trial1\"} 1",
        "gateway_overhead_seconds_count 5",
        "gateway_upstream_seconds_count 2",
        "gateway_limit_rejections_total{reason=\"tenant_rate\"} 0",
        "gateway_route_generation 1",
        "gateway_routes 2",
        "gateway_route_drift 0",
        "gateway_reload_failures_total 0",
        "gateway_panics_total 0",
    ] {
        assert!(figures.lines().any(|have| have == line), "{line} in\n{figures}");
    }
    assert!(!figures.contains("tenant=\"a\""), "{figures}");
    let open: u32 =
        figures.lines().find_map(|line| line.strip_prefix("process_open_fds ")?.parse().ok()).unwrap();
    assert!(open > 3);

    world.write_registry("nonsense");
    world.admin("POST", "/reload").await;
    world.write_registry("[]");
    world.admin("POST", "/reload").await;
    let left = figures_of(&world).await;
    assert!(!left.contains("trial1"), "{left}");
    assert!(!left.contains("gateway_reload_failures_total 0"), "{left}");
}

async fn settled(world: &World, line: &str) -> String {
    eventually(line, || async { figures_of(world).await.lines().any(|have| have == line) }).await;
    figures_of(world).await
}

async fn figures_of(world: &World) -> String {
    let mut stream = UnixStream::connect(&world.settings.socket).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

#[tokio::test]
async fn a_port_of_this_machine_shows_figures_and_nothing_else() {
    let owner = Toy::hello("owner").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _world = World::with(&owner, &[], |settings| settings.metrics_port = Some(free.port())).await;
    let got = crate::client::get(free, "/metrics", &[]).await;
    assert!(got.text().contains("gateway_routes 1\n"), "{}", got.text());
    for (path, host, status) in
        [("/routes", "localhost", 404), ("/metrics", "evil.example", 421), ("/metrics", "localhost:1", 200)]
    {
        assert_eq!(crate::client::get(free, path, &[("host", host)]).await.status, status, "{path} {host}");
    }
}
