//! What is done against tenants that share a browser's origin, and for whoever comes to its root.

use http::Response;
use http_body_util::Full;
use remotelab_gateway::guard::RefererGuard;
use remotelab_gateway::headers::Isolation;
use remotelab_gateway::listener::Scheme;

use crate::client::{Client, get};
use crate::toy::{Seen, Toy};
use crate::world::World;

#[tokio::test]
async fn a_page_of_one_changes_nothing_at_another() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let guests = [("trial1", "t1.example.com", &guest)];
    let world = World::new(&owner, &guests).await;
    let mut client = Client::connect(world.address).await;
    for (method, path, referer, status) in [
        ("POST", "/owner/api/x", "http://lab.example/trial1/page", 403),
        ("DELETE", "/owner/api/x", "http://lab.example/trial1", 403),
        ("POST", "/trial1/api/x", "http://lab.example/owner/", 403),
        ("GET", "/owner/api/x", "http://lab.example/trial1/page", 200),
        ("POST", "/owner/api/x", "http://lab.example/owner/page", 200),
        ("POST", "/owner/api/x", "http://elsewhere.example/trial1/", 200),
    ] {
        let headers = [("host", "lab.example"), ("referer", referer)];
        let got = client.send(method, path, &headers, "x").await;
        assert_eq!(got.status, status, "{method} {path} from {referer}");
        if status == 403 {
            assert!(got.text().starts_with(r#"{"error":"page_not_allowed""#), "{}", got.text());
        }
    }
    // An origin of its own is not shared.
    let own = [("host", "t1.example.com"), ("referer", "http://t1.example.com/owner/")];
    assert_eq!(client.send("POST", "/api/x", &own, "x").await.status, 200);
    assert_eq!(owner.targets(), ["GET /api/x", "POST /api/x", "POST /api/x"]);

    let off =
        World::with(&owner, &guests, |settings| settings.listeners[0].referer_guard = RefererGuard::Off);
    let world = off.await;
    let headers = [("host", "lab.example"), ("referer", "http://lab.example/trial1/")];
    let mut client = Client::connect(world.address).await;
    assert_eq!(client.send("POST", "/owner/api/x", &headers, "x").await.status, 200);
}

/// A worker's scope reaches as far as the folder of its script, unless a header widens it. The browser takes
/// no redirect for a script.
#[tokio::test]
async fn a_service_worker_stays_below_its_prefix() {
    let script = |_: &Seen| {
        Response::builder()
            .header("content-type", "text/javascript")
            .header("service-worker-allowed", "/")
            .body(Full::from("self"))
            .unwrap()
    };
    let (owner, guest) = (Toy::hello("owner").await, Toy::start(script).await);
    let world = World::new(&owner, &[("trial1", "t1.example.com", &guest)]).await;
    let asks = [("service-worker", "script"), ("sec-fetch-dest", "serviceworker")];
    let below = get(world.address, "/trial1/sw.js", &asks).await;
    assert_eq!((below.status.as_u16(), below.header("service-worker-allowed")), (200, None));
    assert_eq!(get(world.address, "/trial1", &asks).await.status, 308);
    assert_eq!(get(world.address, "/trial1?x", &asks).await.status, 308);
    assert_eq!(get(world.address, "/sw.js", &asks).await.status, 404);
    let root = get(world.address, "/", &asks).await;
    assert_eq!(root.header("content-type"), Some("text/html; charset=utf-8"));
    let own = get(world.address, "/sw.js", &[("host", "t1.example.com"), asks[0]]).await;
    assert_eq!(own.header("service-worker-allowed"), Some("/"));
}

#[tokio::test]
async fn the_root_leads_back_to_where_a_browser_was_signed_in_last() {
    let (owner, guest) = (Toy::start(page).await, Toy::start(page).await);
    let world = World::with(&owner, &[("trial1", "t1.example.com", &guest)], |settings| {
        let tls = settings.listeners[0].clone();
        settings.listeners[0].scheme = Scheme::Https;
        settings.listeners.push(tls);
        settings.listeners[1].last_prefix_redirect = false;
    })
    .await;
    let noted = "bridge_last_prefix=trial1; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure";
    let login = "trial1__session_token=a";
    for (path, accept, cookie, host, sets) in [
        ("/trial1/", "text/html", login, "lab.example", &[noted][..]),
        ("/trial1/", "text/html", "trial1__visitor_session_token=a", "lab.example", &[noted]),
        (
            "/trial1/",
            "text/html",
            "trial1__session_token=a; bridge_last_prefix=owner",
            "lab.example",
            &[noted],
        ),
        ("/trial1/", "text/html", "trial1__session_token=a; bridge_last_prefix=trial1", "lab.example", &[]),
        ("/trial1/", "text/html", "trial1__lang=a; owner__session_token=a", "lab.example", &[]),
        ("/trial1/", "*/*", login, "lab.example", &[]),
        ("/trial1/cached", "text/html", login, "lab.example", &[]),
        ("/trial1/script", "text/html", login, "lab.example", &[]),
        ("/", "text/html", "session_token=a", "t1.example.com", &[]),
    ] {
        let headers = [("accept", accept), ("cookie", cookie), ("host", host)];
        let got = get(world.address, path, &headers).await;
        assert_eq!(got.all("set-cookie"), sets, "{path} {accept} {cookie}");
    }
    // No instance sees it.
    assert!(guest.take().iter().all(|seen| !seen.header("cookie").unwrap().contains("bridge_last")));

    for (cookie, location) in [
        ("bridge_last_prefix=trial1", Some("/trial1/")),
        ("a=b; bridge_last_prefix=%2Ftrial1", Some("/trial1/")),
        ("bridge_last_prefix=/owner", Some("/owner/")),
        ("bridge_last_prefix=nobody", None),
        ("bridge_last_prefix=//evil.example", None),
        ("bridge_last_prefix=", None),
        ("x=1", None),
    ] {
        let got = get(world.address, "/?token=secret", &[("cookie", cookie)]).await;
        assert_eq!(got.status, if location.is_some() { 302 } else { 200 }, "{cookie}");
        assert_eq!(got.header("location"), location, "{cookie}");
    }
    let off = world.running.as_ref().unwrap().addresses()[1];
    assert_eq!(get(off, "/", &[("cookie", "bridge_last_prefix=trial1")]).await.status, 200);
}

fn page(seen: &Seen) -> Response<Full<bytes::Bytes>> {
    let (kind, caching) = match seen.target.as_str() {
        "/cached" => ("text/html", "public, max-age=60"),
        "/script" => ("text/javascript", "private"),
        _ => ("text/html; charset=utf-8", "private, no-store"),
    };
    let response = Response::builder().header("content-type", kind).header("cache-control", caching);
    response.body(Full::from("page")).unwrap()
}

#[tokio::test]
async fn what_people_put_there_runs_nothing_when_that_is_wanted() {
    let file = |_: &Seen| {
        Response::builder().header("content-type", "image/svg+xml").body(Full::from("<svg/>")).unwrap()
    };
    let (owner, guest) = (Toy::start(file).await, Toy::start(file).await);
    let guests = [("trial1", "t1.example.com", &guest)];
    let world = World::with(&owner, &guests, |settings| {
        settings.isolation = Isolation { sandbox: true, same_origin_resources: true };
    })
    .await;
    let policies = |got: &crate::client::Got| {
        ["content-security-policy", "cross-origin-resource-policy"]
            .map(|name| got.header(name).map(str::to_owned))
    };
    let shared = get(world.address, "/trial1/file.svg", &[]).await;
    assert_eq!(
        policies(&shared),
        [Some("sandbox allow-downloads".to_owned()), Some("same-origin".to_owned())]
    );
    let own_host = get(world.address, "/file.svg", &[("host", "t1.example.com")]).await;
    assert_eq!(policies(&own_host), [None, None]);
}
