//! The owner's page.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::client::get;
use crate::toy::{Seen, Toy};
use crate::world::World;

#[tokio::test]
async fn only_the_owner_sees_which_instances_there_are() {
    let owner = Toy::start(owner).await;
    let guest = Toy::hello("guest").await;
    let world = World::with(&owner, &[("trial1", "t1.example.com", &guest)], |settings| {
        settings.main.hosts = vec!["lab.example".to_owned()];
    })
    .await;
    let shared = [("cookie", "owner__session_token=right")];
    let page = get(world.address, "/owner/_gateway/", &shared).await;
    assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, Some("no-store")));
    for part in
        ["<a href=\"/trial1/\">", "<a href=\"http://t1.example.com/\">", "asleep\">", "not used lately"]
    {
        assert_eq!(page.text().contains(part), part != "asleep\">", "{part}: {}", page.text());
    }
    assert_eq!(owner.targets(), ["GET /api/auth/me"]);
    // Under its own host name prefixes lead nowhere.
    let page =
        get(world.address, "/_gateway/", &[("host", "lab.example"), ("cookie", "session_token=right")]).await;
    assert!(page.status == 200 && !page.text().contains("\"/trial1/\""), "{}", page.text());
    for (headers, expected) in [
        (vec![], 302),
        (vec![("cookie", "owner__session_token=wrong")], 302),
        (vec![("cookie", "session_token=right")], 302),
        (vec![("cookie", "trial1__session_token=right")], 302),
        // A script of another tenant on the same origin.
        (vec![shared[0], ("sec-fetch-dest", "empty")], 404),
        (vec![shared[0], ("sec-fetch-site", "cross-site")], 404),
    ] {
        let got = get(world.address, "/owner/_gateway/", &headers).await;
        assert_eq!(got.status, expected, "{headers:?}");
        assert!(!got.text().contains("trial1"));
    }
    let away = get(world.address, "/owner/_gateway/", &[]).await;
    assert_eq!(away.header("location"), Some("/owner/login?next=_gateway%2F"));
    assert_eq!(get(world.address, "/owner/_gateway", &[]).await.header("location"), Some("/owner/_gateway/"));
    assert_eq!(get(world.address, "/trial1/_gateway/", &shared).await.status, 404);
    assert!(guest.take().is_empty());
}

fn owner(seen: &Seen) -> Response<Full<Bytes>> {
    let is_owner = seen.header("cookie") == Some("session_token=right");
    let (status, body) = if is_owner { (200, r#"{"role":"owner"}"#) } else { (401, "{}") };
    Response::builder().status(status).body(Full::from(body)).unwrap()
}
