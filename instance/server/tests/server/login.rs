//! Signing in: link, form, lock-out.

use remotelab_config::auth::{Auth, Login};
use remotelab_config::{InstancePaths, password};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::world::{ECHO, World, cookie};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_and_leaves_no_token_in_the_address() {
    let world = World::start(ECHO).await;
    let response = world.open_link().await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "/");
    let set_cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(set_cookie.contains("; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400; Expires="), "{set_cookie}");
    let me = world
        .request(Method::GET, "/api/auth/me")
        .header("cookie", cookie(&response).unwrap())
        .send()
        .await
        .unwrap();
    let tag = me.headers()["etag"].clone();
    assert_eq!(me.text().await.unwrap(), r#"{"role":"owner"}"#);
    let same = world
        .request(Method::GET, "/api/auth/me")
        .header("cookie", cookie(&response).unwrap())
        .header("if-none-match", tag)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_login_pages_lead_to_the_form_and_the_api_says_so() {
    let world = World::start(ECHO).await;
    assert_eq!(
        world.get("/api/sessions").await,
        (StatusCode::UNAUTHORIZED, json!({"error": "Not authenticated"}))
    );
    let page = world.request(Method::GET, "/").send().await.unwrap();
    assert_eq!((page.status(), page.headers()["location"].to_str().unwrap()), (StatusCode::FOUND, "/login"));
    let deep = world.request(Method::GET, "/s/0123").send().await.unwrap();
    assert_eq!(deep.headers()["location"], "/login?next=s%2F0123");
    let form = world.request(Method::GET, "/login").send().await.unwrap();
    assert_eq!(form.status(), StatusCode::OK);
    let built = world.get("/api/build-info").await;
    assert_eq!(built.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_03_a_forwarding_header_makes_no_other_client() {
    let world = World::start(ECHO).await;
    for _ in 0..5 {
        let wrong = world.request(Method::GET, "/?token=zz").send().await.unwrap();
        assert_eq!(
            (wrong.status(), wrong.headers()["location"].to_str().unwrap()),
            (StatusCode::FOUND, "/login")
        );
        assert!(wrong.headers().get("set-cookie").is_none());
    }
    // A header that anybody can send does not make another client of the guesser.
    let locked = world
        .request(Method::GET, &format!("/?token={}", world.token()))
        .header("cf-connecting-ip", "1.2.3.4")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (locked.status(), locked.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::TOO_MANY_REQUESTS, "60")
    );
    let form = world
        .request(Method::POST, "/login")
        .header("x-forwarded-for", "1.2.3.4")
        .form(&[("type", "token"), ("token", world.token())])
        .send()
        .await
        .unwrap();
    assert_eq!(form.text().await.unwrap(), "Too many failed attempts. Please try again later.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_signs_in_and_out() {
    let world = World::start(ECHO).await;
    let wrong = world
        .request(Method::POST, "/login")
        .form(&[("type", "password"), ("username", "owner"), ("password", "x")])
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.headers()["location"], "/login?error=1&mode=pw");
    let right = world
        .request(Method::POST, "/login")
        .form(&[("type", "token"), ("token", world.token()), ("next", "s/12")])
        .send()
        .await
        .unwrap();
    assert_eq!(right.headers()["location"], "/s/12");
    let login = cookie(&right).unwrap();
    let out = world.request(Method::POST, "/logout").header("cookie", &login).send().await.unwrap();
    assert_eq!(out.headers().get_all("set-cookie").iter().count(), 2);
    let after = world.request(Method::GET, "/api/auth/me").header("cookie", &login).send().await.unwrap();
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_weakness_09_other_sites_neither_post_nor_sign_out() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let foreign = world
        .request(Method::POST, &format!("/api/sessions/{id}/messages"))
        .header("origin", "https://evil.example")
        .json(&json!({"text": "x"}))
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let out =
        world.request(Method::GET, "/logout").header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(out.status(), StatusCode::FORBIDDEN);
    assert_eq!(world.get(&format!("/api/sessions/{id}")).await.0, StatusCode::OK);
    // The token of a link stays in no further address.
    let link = format!("/api/sessions?view=refs&token={}", world.token());
    let link = world.request(Method::GET, &link).send().await.unwrap();
    assert_eq!((link.status(), link.headers()["location"].to_str().unwrap()), (StatusCode::FOUND, "/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_once_are_counted_one_by_one() {
    let world = World::start(ECHO).await;
    let mut auth = Auth::load(&InstancePaths::below(world.root.path()).auth()).unwrap();
    auth.login = Some(Login { username: "owner".into(), password_hash: password::hash("right") });
    auth.save(&InstancePaths::below(world.root.path()).auth()).unwrap();
    let form = [("type", "password"), ("username", "owner"), ("password", "wrong")];
    let guesses = (0..20).map(|_| world.request(Method::POST, "/login").form(&form).send());
    let answers = futures_util::future::join_all(guesses).await;
    let tried =
        answers.iter().filter(|answer| answer.as_ref().unwrap().status() == StatusCode::FOUND).count();
    assert_eq!(tried, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_other_programs_do_not_sign_out() {
    let world = World::start(ECHO).await;
    let login = cookie(&world.open_link().await).unwrap();
    let odd = reqwest::header::HeaderValue::from_bytes(format!("theme=é; {login}").as_bytes()).unwrap();
    let me = world.request(Method::GET, "/api/auth/me").header("cookie", odd).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_uses_a_login_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    let paths = InstancePaths::below(root.path());
    std::fs::create_dir_all(paths.config()).unwrap();
    let (old, young) = ("ab".repeat(32), "cd".repeat(32));
    let now = jiff::Timestamp::now().as_millisecond();
    let logins = json!({&old: {"expiry": now + 60_000}, &young: {"expiry": now + 80_000_000}});
    std::fs::write(paths.auth_sessions(), logins.to_string()).unwrap();
    let world = World::start_in(root, ECHO).await;
    let ask = |login: &str, path: &str| {
        world.request(Method::GET, path).header("cookie", format!("session_token={login}")).send()
    };
    assert_eq!(cookie(&ask(&young, "/api/sessions").await.unwrap()), None);
    let renewed = ask(&old, "/api/sessions").await.unwrap();
    assert_eq!(cookie(&renewed), Some(format!("session_token={old}")));
    assert!(renewed.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=86400"));
    assert_eq!(cookie(&ask(&old, "/api/sessions").await.unwrap()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_signs_nobody_out() {
    let world = World::signed_in(ECHO).await;
    for (name, value) in [("sec-fetch-dest", "image"), ("sec-purpose", "prefetch")] {
        let answer = world.request(Method::GET, "/logout").header(name, value).send().await.unwrap();
        assert_eq!((answer.headers()["location"].to_str().unwrap(), cookie(&answer)), ("/", None), "{name}");
    }
    let foreign =
        world.request(Method::POST, "/logout").header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(world.get("/api/auth/me").await.0, StatusCode::OK);
    assert_eq!(world.get("/logout").await.0, StatusCode::FOUND);
    assert_eq!(world.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
}
