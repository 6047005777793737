//! Moving a login into an installed app.

use std::collections::BTreeSet;

use remotelab_config::InstancePaths;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::tokens::client;
use super::world::{ECHO, World, cookie};

const REDEEM: &str = "/api/install/handoff/redeem";

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_signs_one_app_in_once() {
    let world = World::signed_in(ECHO).await;
    let handoff = by_button(&world).await;
    let file = InstancePaths::below(world.root.path()).install_handoffs();
    assert!(!std::fs::read_to_string(file).unwrap().contains(&handoff));

    let page = get(&world, &format!("/m/install?h={handoff}")).await;
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        ["referrer-policy", "x-robots-tag", "cache-control"].map(header),
        ["no-referrer", "noindex, nofollow, noarchive", "private, no-store, max-age=0, must-revalidate"]
    );
    let html = page.text().await.unwrap();
    for part in [
        format!(r#"{{"mobileInstall":{{"handoffToken":"{handoff}"}}}}"#),
        format!(r#"href="manifest.install.json?h={handoff}&"#),
        format!(r#"href="m/continue?h={handoff}""#),
    ] {
        assert!(html.contains(&part), "{part} in {html}");
    }
    let manifest = get(&world, &format!("/manifest.install.json?h={handoff}")).await;
    assert_eq!(manifest.headers()["content-type"], "application/manifest+json");
    let manifest: Value = manifest.json().await.unwrap();
    assert_eq!(
        (&manifest["start_url"], &manifest["scope"]),
        (&json!(format!("m/install?h={handoff}")), &json!("./"))
    );

    // Many at once: one gets in.
    let tries = (0..8).map(|_| redeem(&world, &handoff));
    let answers = futures_util::future::join_all(tries).await;
    let granted: Vec<&Response> = answers.iter().filter(|answer| answer.status() == StatusCode::OK).collect();
    assert_eq!(granted.len(), 1);
    let login = cookie(granted[0]).unwrap();
    let me = client(None).get(format!("{}/api/auth/me", world.base)).header("cookie", login).send().await;
    assert_eq!(me.unwrap().json::<Value>().await.unwrap(), json!({"role": "owner"}));
    let refused = redeem(&world, &handoff).await;
    assert_eq!(
        (refused.status(), refused.json::<Value>().await.unwrap()),
        (StatusCode::UNAUTHORIZED, json!({"error": "Install handoff expired or is no longer valid"}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn going_there_redeems_too() {
    let world = World::signed_in(ECHO).await;
    let handoff = by_button(&world).await;
    let owner = world.request(Method::GET, &format!("/m/continue?h={handoff}")).send().await.unwrap();
    assert_eq!((location(&owner), cookie(&owner)), ("/?skipInstall=1", None));
    let stranger = get(&world, &format!("/m/continue?h={handoff}")).await;
    assert!(cookie(&stranger).is_some());
    assert_eq!(location(&stranger), "/?skipInstall=1");
    let late = get(&world, &format!("/m/continue?h={handoff}")).await;
    assert_eq!((location(&late), cookie(&late)), ("/login", None));
    let none = client(None).post(format!("{}{REDEEM}", world.base)).json(&json!({})).send().await.unwrap();
    assert_eq!(
        (none.status(), none.json::<Value>().await.unwrap()),
        (StatusCode::BAD_REQUEST, json!({"error": "Install handoff token is required"}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_12_nobody_else_can_have_one_made() {
    let world = World::signed_in(ECHO).await;
    let file = InstancePaths::below(world.root.path()).install_handoffs();
    assert_eq!(location(&get(&world, "/m/install").await), "/login?next=m%2Finstall");
    // A plain read, a page of another site, and a form that is not ours.
    let plain = world.request(Method::GET, "/m/install").send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::OK);
    let foreign = navigation(&world, "cross-site").await;
    assert_eq!(foreign.status(), StatusCode::OK);
    let forged = world.request(Method::POST, "/m/install").form(&[("formToken", "x")]).send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert!(!file.exists());
    // A person who comes from our own page.
    let own = navigation(&world, "same-origin").await;
    assert!(location(&own).starts_with("/m/install?h=ih_"), "{}", location(&own));
    assert!(location(&own).ends_with("&source=menu"));
    assert!(file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hand_off_is_another() {
    let world = World::signed_in(ECHO).await;
    let mut all = BTreeSet::new();
    for _ in 0..3 {
        all.insert(by_button(&world).await);
    }
    assert_eq!(all.len(), 3);
}

/// Presses the button of the page and returns the hand-off.
async fn by_button(world: &World) -> String {
    let page = world.request(Method::GET, "/m/install").send().await.unwrap().text().await.unwrap();
    let (_, rest) = page.split_once(r#"name="formToken" value=""#).unwrap();
    let token = rest.split('"').next().unwrap();
    let answer =
        world.request(Method::POST, "/m/install").form(&[("formToken", token)]).send().await.unwrap();
    let handoff = location(&answer).strip_prefix("/m/install?h=").unwrap().to_owned();
    assert!(handoff.len() == 51 && handoff.starts_with("ih_"), "{handoff}");
    handoff
}

async fn navigation(world: &World, site: &str) -> Response {
    let request = world.request(Method::GET, "/m/install?source=menu").header("sec-fetch-site", site);
    request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document").send().await.unwrap()
}

async fn get(world: &World, path: &str) -> Response {
    client(None).get(format!("{}{path}", world.base)).send().await.unwrap()
}

async fn redeem(world: &World, handoff: &str) -> Response {
    let body = json!({ "token": handoff });
    client(None).post(format!("{}{REDEEM}", world.base)).json(&body).send().await.unwrap()
}

fn location(response: &Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}
