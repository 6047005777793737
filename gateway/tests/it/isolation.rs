//! Tenants behind one front door do not meet.

use http::Response;
use http_body_util::Full;
use remotelab_gateway::listener::Scheme;

use crate::client::get;
use crate::toy::Toy;
use crate::world::World;

#[tokio::test]
async fn cookies_of_one_never_reach_another() {
    let toys = [Toy::hello("owner").await, Toy::hello("1").await, Toy::hello("10").await];
    let world =
        World::new(&toys[0], &[("trial1", "", &toys[1]), ("trial10", "t10.example.com", &toys[2])]).await;
    let everything = "owner__session_token=O; trial1__session_token=A; trial10__session_token=B; \
                      session_token=S; visitor_session_token=V; trial1__trial10__x=C";
    for (toy, path, own) in [
        (&toys[0], "/owner/", "session_token=O"),
        (&toys[1], "/trial1/", "session_token=A; trial10__x=C"),
        (&toys[2], "/trial10/", "session_token=B"),
    ] {
        get(world.address, path, &[("cookie", everything)]).await;
        assert_eq!(toy.last().header("cookie"), Some(own));
        get(world.address, path, &[("cookie", "other=1")]).await;
        assert_eq!(toy.last().header("cookie"), None);
    }
    get(world.address, "/", &[("host", "t10.example.com"), ("cookie", "session_token=B")]).await;
    assert_eq!(toys[2].last().header("cookie"), Some("session_token=B"));
}

#[tokio::test]
async fn what_one_sets_and_where_it_leads_stays_below_its_prefix() {
    let answer = |_: &crate::toy::Seen| {
        Response::builder()
            .status(302)
            .header("location", "/trial10/login")
            .header("set-cookie", "session_token=abc; HttpOnly; Path=/; Domain=example.net")
            .header("set-cookie", "owner__session_token=forged; Path=/owner")
            .header("service-worker-allowed", "/")
            .header("clear-site-data", "\"*\"")
            .body(Full::default())
            .unwrap()
    };
    let (owner, guest) = (Toy::hello("owner").await, Toy::start(answer).await);
    let world = World::with(&owner, &[("trial1", "t1.example.com", &guest)], |settings| {
        let mut tls = settings.listeners[0].clone();
        tls.scheme = Scheme::Https;
        settings.listeners.push(tls);
    })
    .await;
    let plain = get(world.address, "/trial1/", &[]).await;
    assert_eq!(plain.header("location"), Some("/trial1/trial10/login"));
    assert_eq!(
        plain.all("set-cookie"),
        [
            "trial1__session_token=abc; Path=/trial1; HttpOnly; SameSite=Lax",
            "trial1__owner__session_token=forged; Path=/trial1/owner; SameSite=Lax"
        ]
    );
    assert_eq!(plain.header("service-worker-allowed"), None);
    assert_eq!(plain.header("clear-site-data"), None);

    let tls = get(world.running.as_ref().unwrap().addresses()[1], "/trial1/", &[]).await;
    assert_eq!(
        tls.all("set-cookie")[0],
        "trial1__session_token=abc; Path=/trial1; HttpOnly; Secure; SameSite=Lax"
    );

    let own_host = get(world.address, "/", &[("host", "t1.example.com")]).await;
    assert_eq!(own_host.header("location"), Some("/trial10/login"));
    assert_eq!(own_host.all("set-cookie")[0], "session_token=abc; HttpOnly; Path=/; Domain=example.net");
}

#[tokio::test]
async fn unknown_hosts_and_labels_of_strangers_never_reach_the_owner() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "t1.example.com", &guest)], |settings| {
        settings.listeners[0].domains = vec!["example.com".into()];
    })
    .await;
    for (host, path, status) in [
        ("t1.attacker.tld", "/", 421),
        ("owner.attacker.tld", "/owner/", 421),
        ("nobody.example.com", "/owner/", 404),
        ("trial1.example.com", "/", 200),
        ("T1.EXAMPLE.COM.", "/owner/", 200),
    ] {
        let got =
            get(world.address, path, &[("host", host), ("x-forwarded-host", "owner.example.com")]).await;
        assert_eq!(got.status, status, "{host}");
    }
    assert_eq!(owner.targets(), Vec::<String>::new());
    assert_eq!(guest.targets(), ["GET /", "GET /owner/"]);
}

#[tokio::test]
async fn two_guests_with_one_port_are_both_unreachable() {
    let (owner, guest, other) = (Toy::hello("o").await, Toy::hello("g").await, Toy::hello("h").await);
    let world =
        World::new(&owner, &[("a", "", &guest), ("b", "", &guest), ("c", "", &other), ("admin", "", &other)])
            .await;
    for (path, status) in [("/a/", 404), ("/b/", 404), ("/c/", 200), ("/admin/", 404), ("/owner/", 200)] {
        assert_eq!(get(world.address, path, &[]).await.status, status, "{path}");
    }
    let (_, routes) = world.admin("GET", "/routes").await;
    assert_eq!(routes["problems"].as_array().unwrap().len(), 3, "{routes}");
}
