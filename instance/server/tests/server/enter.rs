//! Coming in by a link that is good for a while, so many times.

use remotelab_config::InstancePaths;
use remotelab_config::guest_links::LinkFile;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::tokens::client;
use super::world::{ECHO, World, cookie};

fn links(world: &World) -> LinkFile {
    LinkFile::in_folder(InstancePaths::below(world.root.path()).config())
}

async fn enter(world: &World, link: &str) -> reqwest::Response {
    let form = [("link", link)];
    client(None).post(format!("{}/enter", world.base)).form(&form).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_looks_uses_nothing_up_and_one_of_many_gets_in() {
    let world = World::start(ECHO).await;
    let (_, link) = links(&world).create("Ann", None, Some(1), jiff::Timestamp::now()).unwrap();
    for language in ["en", "zh-CN"] {
        let page = client(None)
            .get(format!("{}/enter?link={link}", world.base))
            .header("accept-language", language)
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            ["referrer-policy", "x-robots-tag", "cache-control"].map(header),
            ["same-origin", "noindex, nofollow, noarchive", "private, no-store, max-age=0, must-revalidate"]
        );
        assert!(cookie(&page).is_none());
        let html = page.text().await.unwrap();
        assert!(html.contains(&format!(r#"value="{link}""#)) && html.contains("owner"), "{html}");
    }
    let head = client(None).request(Method::HEAD, format!("{}/enter?link={link}", world.base)).send().await;
    assert_eq!(head.unwrap().status(), StatusCode::OK);

    let answers = futures_util::future::join_all((0..4).map(|_| enter(&world, &link))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410, 410, 410]);
    let granted = answers.iter().find(|answer| answer.status() == StatusCode::SEE_OTHER).unwrap();
    assert_eq!(granted.headers()["location"], "/");
    let login = cookie(granted).unwrap();
    let me = async || {
        let me =
            client(None).get(format!("{}/api/auth/me", world.base)).header("cookie", &login).send().await;
        me.unwrap()
    };
    assert_eq!(me().await.json::<Value>().await.unwrap(), json!({"role": "owner"}));

    // It was for one.
    let page = client(None).get(format!("{}/enter?link={link}", world.base)).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::GONE);
    assert!(!page.text().await.unwrap().contains(&link));

    // Whoever came by a link goes with it.
    let id = links(&world).load().unwrap().list().next().unwrap().id.clone();
    assert!(links(&world).revoke(&id).unwrap().is_some());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while me().await.status() != StatusCode::UNAUTHORIZED {
        assert!(tokio::time::Instant::now() < deadline, "a revoked link still lets somebody in");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_none_leads_nowhere_and_guesses_are_counted() {
    let world = World::start(ECHO).await;
    let now = jiff::Timestamp::now();
    let (_, old) = links(&world).create("", Some(now), None, now).unwrap();
    let other = format!("rgl_{}", "0".repeat(64));
    for link in [old.as_str(), &other, "", "rgl_"] {
        assert_eq!(enter(&world, link).await.status(), StatusCode::GONE, "{link}");
    }
    // A page of another site lets nobody in.
    let (_, good) = links(&world).create("", None, None, now).unwrap();
    let foreign = client(None)
        .post(format!("{}/enter", world.base))
        .header("origin", "https://evil.example")
        .form(&[("link", &good)])
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let mut last = StatusCode::OK;
    for _ in 0..20 {
        last = enter(&world, &other).await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}
