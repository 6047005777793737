//! A stand-in for Cloudflare's interface: its envelopes, pages and reasons.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Rows on one page, whatever is asked for.
const PAGE: usize = 2;

#[derive(Clone)]
pub(crate) struct Cloudflare {
    state: Arc<Mutex<State>>,
    port: u16,
}

#[derive(Default)]
struct State {
    records: Vec<Value>,
    asked: Vec<String>,
    /// Answers before the usual ones: status, a header and a body.
    first: Vec<(u16, String, Value)>,
    made: usize,
}

impl Cloudflare {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&served);
                thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        Self { state, port }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/client/v4/", self.port)
    }

    pub(crate) fn add(&self, record: Value) {
        self.state.lock().unwrap().records.push(record);
    }

    pub(crate) fn answer_first(&self, status: u16, header: &str, body: Value) {
        self.state.lock().unwrap().first.push((status, header.to_owned(), body));
    }

    pub(crate) fn records(&self) -> Vec<Value> {
        self.state.lock().unwrap().records.clone()
    }

    /// The requests that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let asked = &self.state.lock().unwrap().asked;
        asked.iter().filter(|line| !line.starts_with("GET ")).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    while let Some((method, target, head, body)) = request(&mut stream) {
        assert!(head.contains("authorization: bearer secret"), "{head}");
        let (status, header, answer) = {
            let mut state = state.lock().unwrap();
            state.asked.push(format!("{method} {target}"));
            if state.first.is_empty() {
                let answer = state.answer(&method, &target, body);
                let status = if answer["success"] == true { 200 } else { 400 };
                (status, String::new(), answer)
            } else {
                state.first.remove(0)
            }
        };
        let text = answer.to_string();
        let sent = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{text}",
            text.len()
        );
        if sent.is_err() {
            return;
        }
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, String, String, Value)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_uppercase(), words.next()?.to_owned());
    Some((method, target, head, serde_json::from_slice(&body).unwrap_or_default()))
}

impl State {
    fn answer(&mut self, method: &str, target: &str, mut body: Value) -> Value {
        let path = target.strip_prefix("/client/v4").unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked = |key: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
        };
        let page: usize = asked("page").parse().unwrap_or(1);
        let name = asked("name").replace("%2a", "*");
        match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["", "zones"]) if name == "example.com" => {
                paged(&[json!({"id": "z1", "name": "example.com", "activated_on": null})], page)
            }
            ("GET", ["", "zones"]) => paged(&[], page),
            ("GET", ["", "zones", "z1", "dns_records"]) => {
                let rows: Vec<Value> =
                    self.records.iter().filter(|record| record["name"] == name.as_str()).cloned().collect();
                paged(&rows, page)
            }
            ("POST", ["", "zones", "z1", "dns_records"]) => {
                if self.records.iter().any(|record| record["name"] == body["name"] && record["type"] != "TXT")
                {
                    return refused(81053, "An A, AAAA, or CNAME record with that host already exists.");
                }
                self.made += 1;
                body["id"] = format!("r{}", self.made).into();
                self.records.push(body.clone());
                well(&body)
            }
            ("PUT", ["", "zones", "z1", "dns_records", id]) => {
                body["id"] = (*id).into();
                let found = self.records.iter_mut().find(|record| record["id"] == *id).unwrap();
                found.clone_from(&body);
                well(&body)
            }
            ("DELETE", ["", "zones", "z1", "dns_records", id]) => {
                self.records.retain(|record| record["id"] != *id);
                well(&json!({ "id": id }))
            }
            _ => refused(7003, "Could not route to the path, perhaps your object identifier is invalid?"),
        }
    }
}

fn well(result: &Value) -> Value {
    json!({"success": true, "errors": [], "messages": [], "result": result})
}

pub(crate) fn refused(code: u32, message: &str) -> Value {
    json!({"success": false, "errors": [{"code": code, "message": message}], "messages": [], "result": null})
}

fn paged(rows: &[Value], page: usize) -> Value {
    let shown: Vec<&Value> = rows.iter().skip((page - 1) * PAGE).take(PAGE).collect();
    let pages = rows.len().div_ceil(PAGE).max(1);
    let info = json!({"page": page, "per_page": PAGE, "count": shown.len(), "total_count": rows.len(),
        "total_pages": pages});
    json!({"success": true, "errors": [], "messages": [], "result": shown, "result_info": info})
}
