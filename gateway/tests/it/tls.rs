//! TLS and HTTP/2 before the gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use remotelab_gateway::listener::{Pair, Tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, crypto};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{get, read_until};
use crate::toy::Toy;
use crate::websockets::{ACCEPT, HANDSHAKE, SWITCHING};
use crate::world::{World, eventually};

#[tokio::test]
async fn each_name_has_its_certificate_and_what_is_said_is_https() {
    let (world, toy, certificates) = serving(&["one.example", "two.example"]).await;
    for (name, expected) in [("one.example", 0), ("two.example", 1), ("other.example", 0)] {
        let stream = connect(world.address, name, &[b"http/1.1"]).await;
        assert_eq!(shown(&stream), certificates[expected], "{name}");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/trial1/").header("host", name).body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    }
    let seen = toy.last();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-port"), Some("443"));
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let (world, _toy, certificates) = serving(&["one.example"]).await;
    let before = connect(world.address, "one.example", &[b"http/1.1"]).await;
    let fresh = write_pair(world.folder.path(), 0, "one.example");
    eventually("the new certificate is shown", async || {
        world.admin("POST", "/reload").await;
        shown(&connect(world.address, "one.example", &[b"http/1.1"]).await) == fresh
    })
    .await;
    assert_eq!(shown(&before), certificates[0]);
    std::fs::write(world.folder.path().join("0.key"), "broken").unwrap();
    eventually("the broken key is told of", async || {
        let (_, health) = world.admin("GET", "/health").await;
        health["certificates"][0].as_str().is_some_and(|trouble| trouble.contains("0.key"))
    })
    .await;
    assert_eq!(shown(&connect(world.address, "one.example", &[b"http/1.1"]).await), fresh);
}

#[tokio::test]
async fn http_2_asks_for_the_same_things() {
    let (world, toy, _) = serving(&["one.example"]).await;
    let mut sender = http_2(connect(world.address, "one.example", &[b"h2", b"http/1.1"]).await).await;
    let ask = |path: &str, body: &'static str| {
        Request::post(format!("https://one.example{path}"))
            .header("cookie", "trial1__a=1")
            .header("cookie", "trial1__b=2")
            .header("te", "trailers")
            .body(body_of(body))
            .unwrap()
    };
    let answer = sender.send_request(ask("/trial1/x?y", "hello")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "guest");
    let seen = toy.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), &seen.body[..]), ("POST", "/x?y", &b"hello"[..]));
    assert_eq!((seen.header("host"), seen.header("cookie")), (Some("one.example"), Some("a=1; b=2")));
    assert_eq!(seen.header("te"), Some("trailers"));
    for (path, status) in [("/nobody/", 404), ("/trial1/../x", 400), ("/trial1/%00", 400)] {
        assert_eq!(sender.send_request(ask(path, "")).await.unwrap().status(), status, "{path}");
    }
    let mut differing = ask("/trial1/", "");
    differing.headers_mut().insert("host", "other.example".parse().unwrap());
    assert_eq!(sender.send_request(differing).await.unwrap().status(), 400);
    let connect = Request::connect("one.example:443").body(body_of("")).unwrap();
    assert_eq!(sender.send_request(connect).await.unwrap().status(), 405);
    // Many at once, one connection.
    let many = (0..80).map(|_| sender.send_request(ask("/trial1/", "")));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn sockets_of_pages_pass_through_tls() {
    let (world, _toy, _) = serving(&["one.example"]).await;
    let instance = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = instance.local_addr().unwrap().port();
    world.write_registry(&serde_json::json!([world.record("trial1", "", port)]).to_string());
    world.admin("POST", "/reload").await;
    let mut client = connect(world.address, "one.example", &[b"http/1.1"]).await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (mut instance, _) = instance.accept().await.unwrap();
    read_until(&mut instance, "\r\n\r\n").await;
    instance.write_all(format!("{SWITCHING}{ACCEPT}\r\nhello").as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "hello").await.ends_with("hello"));
    client.write_all(&[b'x'; 100_000]).await.unwrap();
    let mut heard = vec![0; 100_000];
    instance.read_exact(&mut heard).await.unwrap();
    instance.write_all(b"well").await.unwrap();
    assert_eq!(read_until(&mut client, "well").await, "well");
}

#[tokio::test]
async fn http_2_without_tls_is_for_whoever_allows_it() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let guests = [("trial1", "", &guest)];
    let world = World::with(&owner, &guests, |settings| settings.listeners[0].h2c = true).await;
    let mut sender = http_2(TcpStream::connect(world.address).await.unwrap()).await;
    let request = Request::get(format!("http://{}/trial1/", world.address)).body(body_of("")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "guest");
}

#[tokio::test]
async fn a_broken_answer_resets_its_stream_alone() {
    let broken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world =
        World::with(&owner, &[("trial1", "", &guest)], |settings| settings.listeners[0].h2c = true).await;
    let port = broken.local_addr().unwrap().port();
    let records = [world.record("trial1", "", guest.port()), world.record("trial2", "", port)];
    world.write_registry(&serde_json::json!(records).to_string());
    world.admin("POST", "/reload").await;
    let mut sender = http_2(TcpStream::connect(world.address).await.unwrap()).await;
    let ask = |path: &str| Request::get(format!("http://h{path}")).body(body_of("")).unwrap();
    let answering = tokio::spawn(async move {
        let (mut instance, _) = broken.accept().await.unwrap();
        read_until(&mut instance, "\r\n\r\n").await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
        instance.write_all(half).await.unwrap();
    });
    let answer = sender.send_request(ask("/trial2/")).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    answering.await.unwrap();
    assert_eq!(sender.send_request(ask("/trial1/")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_that_are_taken_back_leave_nothing_in_work() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world =
        World::with(&owner, &[("trial1", "", &guest)], |settings| settings.listeners[0].h2c = true).await;
    let mut sender = http_2(TcpStream::connect(world.address).await.unwrap()).await;
    for _ in 0..2_000 {
        if sender.ready().await.is_err() {
            break;
        }
        let request = Request::get("http://h/trial1/").body(body_of("")).unwrap();
        drop(sender.send_request(request));
        tokio::task::yield_now().await;
    }
    eventually("nothing is in work", async || world.in_work("trial1").await == (0, 0)).await;
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "guest");
}

/// A gateway with TLS for these names, and their certificates.
async fn serving(names: &[&str]) -> (World, Toy, Vec<Vec<u8>>) {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let mut certificates = Vec::new();
    let world = World::with(&owner, &[("trial1", "", &guest)], |settings| {
        let folder = settings.registry.ancestors().nth(3).unwrap().to_owned();
        let pairs = names.iter().enumerate().map(|(at, name)| {
            certificates.push(write_pair(&folder, at, name));
            Pair { certificate: folder.join(format!("{at}.pem")), key: folder.join(format!("{at}.key")) }
        });
        let tls = Tls { certificates: pairs.collect(), http2: true };
        settings.listeners[0].tls = Some(tls);
        settings.listeners[0].scheme = remotelab_gateway::listener::Scheme::Https;
    })
    .await;
    (world, guest, certificates)
}

fn write_pair(folder: &Path, at: usize, name: &str) -> Vec<u8> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{at}.key")), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{at}.pem")), cert.pem()).unwrap();
    cert.der().to_vec()
}

async fn connect(address: SocketAddr, name: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

type Body = StreamBody<
    futures_util::stream::Iter<std::vec::IntoIter<Result<http_body::Frame<Bytes>, std::convert::Infallible>>>,
>;

/// A body whose length nobody tells.
fn body_of(text: &'static str) -> Body {
    let frames = if text.is_empty() { vec![] } else { vec![Ok(http_body::Frame::data(Bytes::from(text)))] };
    StreamBody::new(futures_util::stream::iter(frames))
}

async fn http_2<S>(stream: S) -> http2::SendRequest<Body>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Believes any certificate: which one it is, is looked at afterwards.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
