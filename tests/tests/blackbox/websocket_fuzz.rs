//! Frames of every kind through the gateway to an echo: each comes back byte for byte, however it was cut.

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use remotelab_tests::process::Process;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// One frame (RFC 6455 §5.2), proper or not.
#[derive(Debug, Clone)]
struct Frame {
    /// FIN, three reserved bits, and the opcode.
    first: u8,
    payload: Vec<u8>,
}

#[tokio::test]
async fn messages_in_pieces_with_control_frames_between_come_back() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..40 {
        let mut frames = Vec::new();
        let pieces = random.random_range(1..12);
        for piece in 0..pieces {
            let opcode = if piece == 0 { random.random_range(1..=2) } else { 0 };
            let fin = if piece + 1 == pieces { 0x80 } else { 0 };
            let len = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 70_000][random.random_range(0..9)];
            frames.push(Frame { first: fin | opcode, payload: noise(&mut random, len) });
            if random.random_bool(0.5) {
                let len = random.random_range(0..=125);
                let opcode = random.random_range(9..=10);
                frames.push(Frame { first: 0x80 | opcode, payload: noise(&mut random, len) });
            }
        }
        house.come_back(&frames, random.random_range(1..5_000)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_no_endpoint_may_send_comes_back_as_it_was() -> anyhow::Result<()> {
    let house = House::start().await?;
    // Texts that are no UTF-8, also cut within a letter.
    let texts: [&[u8]; 5] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xbd"];
    let mut frames: Vec<Frame> =
        texts.iter().map(|text| Frame { first: 0x81, payload: text.to_vec() }).collect();
    frames.push(Frame { first: 0x01, payload: b"\xe4\xbd".to_vec() });
    frames.push(Frame { first: 0x80, payload: b"\xa0".to_vec() });
    // Reserved opcodes and bits, a ping in pieces, one that is too long, a continuation of nothing.
    for first in [0x83, 0x87, 0x8b, 0x8f, 0xc1, 0xa1, 0x91, 0x09, 0x89, 0x80] {
        frames.push(Frame { first, payload: vec![7; 200] });
    }
    house.come_back(&frames, 3).await
}

#[tokio::test]
async fn long_messages_come_back() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut random = StdRng::seed_from_u64(16);
    for len in [64 << 10, 16 << 20] {
        let whole = noise(&mut random, len);
        house.come_back(&[Frame { first: 0x82, payload: whole }], 64 << 10).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_code_of_a_close_comes_back() -> anyhow::Result<()> {
    let house = House::start().await?;
    let codes = (999..=1016).chain([1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535]);
    for code in codes {
        let payload = [&u16::to_be_bytes(code)[..], "why: 你".as_bytes()].concat();
        house.come_back(&[Frame { first: 0x88, payload }], 1).await?;
    }
    for payload in [vec![], vec![3], [&[3, 232][..], b"\xff"].concat()] {
        house.come_back(&[Frame { first: 0x88, payload }], 1).await?;
    }
    Ok(())
}

struct House {
    world: World,
    _gateway: Process,
}

impl House {
    /// A gateway before an echo at `/echo`.
    async fn start() -> anyhow::Result<Self> {
        let world = World::without_executors().await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        world.register([("echo", listener.local_addr()?.port())])?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
        let gateway = world.start(&["gateway"])?;
        let port = world.ports().gateway;
        eventually("the gateway", async || Ok(TcpStream::connect(("127.0.0.1", port)).await.ok())).await?;
        Ok(Self { world, _gateway: gateway })
    }

    /// Sends frames in pieces of some bytes, and reads them back.
    async fn come_back(&self, frames: &[Frame], size: usize) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.world.ports().gateway)).await?;
        stream.set_nodelay(true)?;
        let head = "GET /echo/ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        let answer = read_head(&mut stream).await?;
        ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let (from, to) = stream.into_split();
        let masked: Vec<u8> =
            frames.iter().flat_map(|frame| frame.bytes(Some([0x12, 0x00, 0xff, 0x80]))).collect();
        let plain: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(None)).collect();
        let sending = tokio::spawn(send(to, masked, size));
        let back =
            timeout(PATIENCE, read_exactly(from, plain.len())).await.context("it does not come back")??;
        let same = back.iter().zip(&plain).take_while(|(one, other)| one == other).count();
        ensure!(same == plain.len(), "other bytes after {same} of {}", plain.len());
        sending.await??;
        Ok(())
    }
}

impl Frame {
    fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![self.first];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ ..=125), _) => bytes.push(bit | len),
            (_, Ok(len)) => {
                bytes.push(bit | 126);
                bytes.extend(len.to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

fn noise(random: &mut StdRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill(&mut bytes[..]);
    bytes
}

async fn send(mut to: OwnedWriteHalf, bytes: Vec<u8>, size: usize) -> anyhow::Result<OwnedWriteHalf> {
    for piece in bytes.chunks(size) {
        to.write_all(piece).await?;
    }
    Ok(to)
}

async fn read_exactly(mut from: OwnedReadHalf, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await??);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Takes the handshake for the one above, and each frame for one to be sent back without its mask.
async fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    read_head(&mut stream).await?;
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        let first = stream.read_u8().await?;
        let len = match stream.read_u8().await? & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            len => u64::from(len),
        };
        let mut mask = [0; 4];
        stream.read_exact(&mut mask).await?;
        let mut payload = vec![0; usize::try_from(len)?];
        stream.read_exact(&mut payload).await?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        stream.write_all(&Frame { first, payload }.bytes(None)).await?;
    }
}
