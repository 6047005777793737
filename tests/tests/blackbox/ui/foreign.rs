//! A program that believes to stand at the root of its host, used below a prefix.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use remotelab_tests::browser::{Browser, Scheme, Screen};
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use serde_json::json;
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html>
<html lang=en><HEAD class=x><meta charset=utf-8><title>Wiki</title>
<link rel=icon href=/dot.svg><link rel=stylesheet href='/app.css' integrity="sha256-1111111111111111111111111111111111111111111=">
<script src="/app.js" defer></script></HEAD>
<body><p>The link is /next</p><a href="/next">go on</a><img alt="dot" srcset="/dot.svg 1x, /dot.svg?2 2x">"#;
const STYLE: &str = "@import '/more.css'; p { color: rgb(1, 2, 3); background: url(/dot.svg?css) }";
const MORE: &str = "a { color: rgb(4, 5, 6) }";
/// Waits for the picture whose width it tells.
const SCRIPT: &str = "addEventListener('load', () => document.querySelector('p').append(' and ' + document.querySelector('img').naturalWidth + location.pathname));";
const DOT: &str =
    r#"<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>"#;

type Asked = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn a_program_that_knows_no_prefix_is_used_below_one() -> anyhow::Result<()> {
    let asked = Asked::default();
    let wiki = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = wiki.local_addr()?.port();
    let routes = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(wiki, routes).await });
    let world = World::without_executors().await?;
    let settings = format!("[service.wiki]\nport = {port}\nkind = \"foreign\"\n");
    std::fs::create_dir_all(world.config())?;
    std::fs::write(world.config().join("gateway.toml"), settings)?;
    let gateway = world.start(&["gateway"])?;
    gateway.line("its address", |line| line.contains("http").then_some(())).await?;

    let browser = Browser::open(Screen::Desktop, Scheme::Light).await?;
    browser.goto(&format!("{}/wiki/", world.gateway_url())).await?;
    browser.see_text("The link is /next and 7/wiki/").await?;
    let colours = "return ['p', 'a'].map(name => getComputedStyle(document.querySelector(name)).color)";
    assert_eq!(browser.eval(colours).await?, json!(["rgb(1, 2, 3)", "rgb(4, 5, 6)"]));
    eventually("the picture of the style", async || {
        let seen = asked.lock().map(|asked| asked.contains(&"/dot.svg?css".to_owned()));
        Ok(seen.unwrap_or_default().then_some(()))
    })
    .await?;
    browser.click("a").await?;
    browser.see_text("and 7/wiki/next").await?;
    assert_eq!(browser.console_errors().await?, Vec::<String>::new());
    Ok(())
}

async fn answer(State(asked): State<Asked>, request: Request) -> Response {
    let target = request.uri().to_string();
    let (kind, body) = match request.uri().path() {
        "/app.css" => ("text/css", STYLE),
        "/more.css" => ("text/css", MORE),
        "/app.js" => ("text/javascript", SCRIPT),
        "/dot.svg" => ("image/svg+xml", DOT),
        _ => ("text/html; charset=utf-8", PAGE),
    };
    if let Ok(mut asked) = asked.lock() {
        asked.push(target);
    }
    ([(CONTENT_TYPE, kind)], body).into_response()
}
