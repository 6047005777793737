use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::probe::probe_within;
use super::*;
use crate::guests::view::View;

#[test]
fn every_way_has_its_class_and_another_tenant_is_told() {
    let build = |id: &str| format!("HTTP/1.1 200 OK\r\n\r\n{}", json!({"instanceId": id}));
    let gone = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mine = serve(build("mine"));
    let ports = [
        mine,
        serve(build("theirs")),
        serve("HTTP/1.1 200 OK\r\n\r\nan older server".to_owned()),
        serve("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n".to_owned()),
        serve("HTTP/1.1 502 Bad Gateway\r\n\r\n".to_owned()),
        serve("no HTTP at all\r\n\r\n".to_owned()),
        gone,
        silent.local_addr().unwrap().port(),
    ];
    let mut views: Vec<View> = ports.into_iter().map(|port| view(port, "", "")).collect();
    // What speaks no TLS, and a name that is too long for anybody to be asked about it.
    let plain = serve(build("mine"));
    let nowhere = format!("http://{}.invalid/trial1", "x".repeat(64));
    views.push(view(mine, &format!("https://127.0.0.1:{plain}"), &nowhere));
    checked(&mut views, Duration::from_millis(900));
    let classes: Vec<[Class; 3]> = views
        .iter()
        .map(|view| view.reached.clone().unwrap())
        .map(|reached| [reached.local.status, reached.public.status, reached.bridge.status])
        .collect();
    let local = |class| [class, Class::Skipped, Class::Skipped];
    assert_eq!(
        classes,
        [
            local(Class::Reachable),
            local(Class::WrongInstance),
            local(Class::Reachable),
            local(Class::Redirected),
            local(Class::HttpError),
            local(Class::HttpError),
            local(Class::Refused),
            local(Class::Timeout),
            [Class::Reachable, Class::TlsError, Class::DnsError],
        ]
    );
    let booleans: Vec<Option<bool>> = views.iter().map(|view| view.local_reachable).collect();
    let [yes, no] = [true, false].map(Some);
    assert_eq!(booleans, [yes, no, yes, no, no, no, no, no, yes]);
    assert_eq!((views[0].public_reachable, views[8].public_reachable), (None, no));
    let words = |index: usize| views[index].reached.as_ref().unwrap().local.words();
    assert_eq!(words(1), "failed (wrong-instance: another instance answers)");
    assert_eq!(words(3), "failed (redirected: to /login)");
    assert_eq!(words(7), "failed (timeout)");
    let bad = serde_json::to_value(&views[4].reached.as_ref().unwrap().local).unwrap();
    assert_eq!(bad["latencyMs"].as_u64().map(|latency| latency < 900), Some(true));
    let expected = json!({"status": "http-error", "httpStatus": 502, "latencyMs": bad["latencyMs"],
        "error": "status 502"});
    assert_eq!(bad, expected);
}

#[test]
fn two_hundred_that_say_nothing_end_with_the_deadline() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let mut views: Vec<View> = (0..200).map(|_| view(port, &base, &base)).collect();
    let begin = Instant::now();
    checked(&mut views, Duration::from_millis(100));
    assert!(begin.elapsed() < Duration::from_secs(3));
    let all = |view: &View| view.reached.clone().map(|reached| reached.bridge.status) == Some(Class::Timeout);
    assert!(views.iter().all(all));
}

fn checked(views: &mut [View], deadline: Duration) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    probe_within(views, deadline);
}

/// Answers everybody in the same way.
fn serve(answer: String) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn view(port: u16, public: &str, bridge: &str) -> View {
    let record = json!({"name": "trial1", "port": port, "id": "mine", "publicBaseUrl": public});
    View {
        record: serde_json::from_value(record).unwrap(),
        mailbox: String::new(),
        bridge_base: bridge.to_owned(),
        gateway_base: None,
        token: None,
        problem: None,
        process: None,
        asleep: false,
        reached: None,
        local_reachable: None,
        public_reachable: None,
    }
}
