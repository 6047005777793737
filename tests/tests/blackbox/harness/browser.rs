use axum::Router;
use axum::response::Html;
use axum::routing::get;
use fantoccini::key::Key;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use serde_json::json;
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html>
<meta name="viewport" content="width=device-width">
<style>
  @media (prefers-color-scheme: dark) { html { background: black; color: white } }
</style>
<form><input name="task"><button>Send</button></form>
<p id="said"></p>
<script>
  document.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    document.querySelector("p").textContent = "Sent " + document.querySelector("input").value;
  });
  console.error("one complaint");
</script>"#;

#[tokio::test]
async fn a_page_is_used_on_a_phone_in_the_dark() -> anyhow::Result<()> {
    let browser = Browser::open(Screen::Phone, Scheme::Dark).await?;
    browser.goto(&serve().await?).await?;

    browser.type_into("input", "sort my mail").await?;
    browser.click("button").await?;
    browser.see_text("Sent sort my mail").await?;

    let facts = browser
        .eval(
            "return [innerWidth, innerHeight, navigator.maxTouchPoints > 0, \
             matchMedia('(prefers-color-scheme: dark)').matches]",
        )
        .await?;
    assert_eq!(facts, json!([390, 844, true, true]));
    assert!(!browser.scrolls_sideways().await?);
    Ok(())
}

#[tokio::test]
async fn a_page_is_used_on_a_desktop_in_the_light() -> anyhow::Result<()> {
    let browser = Browser::open(Screen::Desktop, Scheme::Light).await?;
    browser.goto(&serve().await?).await?;

    browser.type_into("input", "hello").await?;
    browser.press("input", Key::Enter).await?;
    browser.see_text("Sent hello").await?;

    let facts = "return [innerWidth, innerHeight, matchMedia('(prefers-color-scheme: dark)').matches]";
    assert_eq!(browser.eval(facts).await?, json!([1440, 900, false]));
    browser.prefer(Scheme::Dark).await?;
    assert_eq!(browser.eval(facts).await?, json!([1440, 900, true]));
    Ok(())
}

#[tokio::test]
async fn complaints_of_the_page_and_pictures_of_it_are_kept() -> anyhow::Result<()> {
    let browser = Browser::open(Screen::Desktop, Scheme::Light).await?;
    browser.goto(&serve().await?).await?;

    let errors = browser.console_errors().await?;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("one complaint"), "{errors:?}");

    let picture = std::fs::read(browser.screenshot("harness").await?)?;
    assert_eq!(picture[..4], *b"\x89PNG");
    // Width and height stand at fixed places of a PNG's first chunk.
    assert_eq!(picture[16..24], [0, 0, 5, 160, 0, 0, 3, 132]);
    Ok(())
}

async fn serve() -> anyhow::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let icon = || async {};
    let routes = Router::new().route("/", get(|| async { Html(PAGE) })).route("/favicon.ico", get(icon));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}/"))
}
