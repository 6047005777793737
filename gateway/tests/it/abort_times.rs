//! How soon one side learns that the other hung up.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::read_until;
use crate::toy::Toy;
use crate::world::World;

const SOON: Duration = Duration::from_millis(100);
/// A busy machine may be late now and then; whoever looks at a timer first is late always.
const TRIES: usize = 5;

const DOWNLOAD: &str = "GET /trial1/ HTTP/1.1\r\nhost: h\r\n\r\n";
const UPLOAD: &str = "POST /trial1/ HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nhalf";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf";

#[derive(Clone, Copy, Debug)]
enum Leaves {
    Client,
    Instance,
}

#[tokio::test]
async fn a_hang_up_is_carried_on_at_once() {
    let owner = Toy::hello("owner").await;
    let world = World::new(&owner, &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    world.write_registry(&json!([world.record("trial1", "", port)]).to_string());
    world.admin("POST", "/reload").await;
    for (request, answer, leaves) in [
        (DOWNLOAD, "", Leaves::Client),
        (DOWNLOAD, ANSWER, Leaves::Client),
        (UPLOAD, "", Leaves::Client),
        (DOWNLOAD, ANSWER, Leaves::Instance),
        // A download would be asked for once more.
        (UPLOAD, "", Leaves::Instance),
    ] {
        let mut soonest = Duration::MAX;
        for _ in 0..TRIES {
            soonest = soonest.min(until_told(&world, &listener, request, answer, leaves).await);
            if soonest <= SOON {
                break;
            }
        }
        assert!(soonest <= SOON, "{request:?} {answer:?} {leaves:?}: {soonest:?}");
    }
}

async fn until_told(
    world: &World,
    listener: &TcpListener,
    request: &str,
    answer: &str,
    leaves: Leaves,
) -> Duration {
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut instance, _) = listener.accept().await.unwrap();
    let end = if request == UPLOAD { "half" } else { "\r\n\r\n" };
    read_until(&mut instance, end).await;
    if !answer.is_empty() {
        instance.write_all(answer.as_bytes()).await.unwrap();
        read_until(&mut client, "half").await;
    }
    let began = Instant::now();
    let mut left = match leaves {
        Leaves::Client => {
            drop(client);
            instance
        }
        Leaves::Instance => {
            drop(instance);
            client
        }
    };
    // An answer of the gateway's own counts as told, too.
    let mut rest = [0; 1000];
    let told = tokio::time::timeout(Duration::from_secs(10), left.read(&mut rest));
    let _ = told.await.expect("the other side is told");
    began.elapsed()
}
