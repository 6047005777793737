//! A name server of the test's own, and keys with which its mail is signed.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;

/// The key's name below each domain that signs.
pub(crate) const SELECTOR: &str = "test";

/// What a name leads to.
#[derive(Clone, Debug)]
enum Reply {
    Text(String),
    /// The server fails.
    Trouble,
}

type Records = Mutex<BTreeMap<String, Reply>>;

/// Answers on a port of its own for as long as somebody holds it.
#[derive(Clone)]
pub(crate) struct Dns {
    pub(crate) addr: SocketAddr,
    records: Arc<Records>,
}

impl Dns {
    /// Knows the key of `example.com` and that it wants forged mail refused.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let dns = Self { addr: socket.local_addr().unwrap(), records: Arc::default() };
        dns.key("example.com");
        dns.text("_dmarc.example.com", "v=DMARC1; p=reject");
        let records = Arc::downgrade(&dns.records);
        std::thread::spawn(move || serve(&socket, &records));
        dns
    }

    /// Publishes the key for a domain.
    pub(crate) fn key(&self, domain: &str) {
        let public = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key().public_key());
        self.text(&format!("{SELECTOR}._domainkey.{domain}"), &format!("v=DKIM1; k=ed25519; p={public}"));
    }

    pub(crate) fn text(&self, name: &str, text: &str) {
        self.records.lock().unwrap().insert(name.to_owned(), Reply::Text(text.to_owned()));
    }

    /// Fails when asked for a name.
    pub(crate) fn trouble(&self, name: &str) {
        self.records.lock().unwrap().insert(name.to_owned(), Reply::Trouble);
    }
}

/// The key of all tests of this process.
pub(crate) fn key() -> Ed25519Key {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let der = KEY.get_or_init(|| Ed25519Key::generate_pkcs8().unwrap());
    Ed25519Key::from_pkcs8_der(der).unwrap()
}

/// Signs a mail for a domain.
pub(crate) fn signed_by(domain: &str, raw: &[u8]) -> Vec<u8> {
    let signer = DkimSigner::from_key(key()).domain(domain).selector(SELECTOR).headers(["From", "Subject"]);
    let mut signed = signer.sign(raw).unwrap().to_header().into_bytes();
    signed.extend_from_slice(raw);
    signed
}

fn serve(socket: &UdpSocket, records: &Weak<Records>) {
    let mut packet = [0; 1500];
    while let Some(records) = records.upgrade() {
        if let Ok((size, from)) = socket.recv_from(&mut packet)
            && let Some(answer) = answer(&packet[..size], &records)
        {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// Answers one question (RFC 1035 §4.1).
fn answer(query: &[u8], records: &Records) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let reply = records.lock().unwrap().get(&name.join(".")).cloned();
    let (code, text) = match reply {
        Some(Reply::Text(text)) if question.ends_with(&[0, 16, 0, 1]) => (0, Some(text)),
        Some(Reply::Text(_)) => (0, None),
        Some(Reply::Trouble) => (2, None),
        None => (3, None),
    };
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(text.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(text) = text {
        let strings: Vec<u8> = text
            .as_bytes()
            .chunks(255)
            .flat_map(|part| [&[u8::try_from(part.len()).unwrap_or(0)], part].concat())
            .collect();
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1]);
        answer.extend(u16::try_from(strings.len()).ok()?.to_be_bytes());
        answer.extend(strings);
    }
    Some(answer)
}
