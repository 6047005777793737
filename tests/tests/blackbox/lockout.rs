//! Guessing at an instance through the gateway: who guesses is locked out, whoever holds a link is not.

use remotelab_tests::http::{self, Answer};
use remotelab_tests::world::World;

const GUESSES: usize = 100;

#[tokio::test]
async fn guesses_of_one_client_lock_nobody_else_out() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    // A tunnel on this machine says who comes, in the last place of the list.
    let settings = format!(
        "[listener.tunnel]\nbind = \"127.0.0.1:{}\"\nclient_ip = \"x-forwarded-for:last\"\n",
        world.ports().gateway
    );
    std::fs::create_dir_all(world.config())?;
    std::fs::write(world.config().join("gateway.toml"), settings)?;
    let _up = world.up().await?;
    let token = world.owner_token()?;
    let sign_in = async |client: String, token: &str| -> anyhow::Result<Answer> {
        let url = format!("{}/owner/?token={token}", world.gateway_url());
        http::send(http::client().get(url).header("x-forwarded-for", client)).await
    };

    let mut refused = 0;
    for guess in 0..GUESSES {
        // Whatever else it claims to be, it is the one that the tunnel saw.
        let client = format!("198.51.100.{guess}, 203.0.113.5");
        let url = format!("{}/owner/?token={guess:064x}", world.gateway_url());
        let guessing = http::client().get(url).header("x-forwarded-for", client);
        let answer = http::send(guessing.header("cf-connecting-ip", format!("192.0.2.{guess}"))).await?;
        match answer.status.as_u16() {
            302 => assert_eq!(answer.header("location"), Some("/owner/login")),
            429 => {
                assert!(answer.header("retry-after").is_some());
                refused += 1;
            }
            other => panic!("guess {guess} was answered {other}"),
        }
    }
    assert!(refused >= GUESSES - 10, "only {refused} were refused");

    let other = sign_in("203.0.113.6".to_owned(), &token).await?;
    assert_eq!((other.status.as_u16(), other.header("location")), (302, Some("/owner/")));
    assert!(other.header("set-cookie").is_some_and(|cookie| cookie.starts_with("owner__session_token=")));
    Ok(())
}
