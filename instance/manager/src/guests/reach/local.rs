//! Asking ports of this machine, without anything that a network needs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::probe::DEADLINE;
use crate::guests::view::View;

const PATIENCE: Duration = Duration::from_millis(1500);

/// Questions under way at the same time.
const PARALLEL: usize = 16;

/// As much of an answer as its first line takes.
const MAX_LINE: usize = 1024;

/// As much of an answer as is read to see who answers.
const MAX_ANSWER: usize = 64 * 1024;

/// Between two questions to a guest that is to come up.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks these guests on their own ports.
pub(in crate::guests) fn probe_locally(views: Vec<&mut View>) {
    let ports: Vec<u16> = views.iter().map(|view| view.record.port).collect();
    for (view, answers) in views.into_iter().zip(ask(&ports, Instant::now() + DEADLINE)) {
        view.local_reachable = Some(answers);
    }
}

/// Tells which ports answer before the deadline.
fn ask(ports: &[u16], deadline: Instant) -> Vec<bool> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut answers = Vec::new();
        while let Some((index, port)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            ports.get(index).map(|port| (index, *port))
        } {
            answers.push((
                index,
                answers_before(port, deadline.min(Instant::now() + PATIENCE)).unwrap_or(false),
            ));
        }
        answers
    };
    let mut reachable = vec![false; ports.len()];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL.min(ports.len())).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            for (index, answer) in worker.join().unwrap_or_default() {
                reachable[index] = answer;
            }
        }
    });
    reachable
}

/// Waits until a port answers as this instance, and says why it does not.
pub(crate) fn answers_as(port: u16, id: &str, patience: Duration) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask_before(port, deadline.min(Instant::now() + PATIENCE), MAX_ANSWER, |_| false);
        let reason = match &answer {
            Err(error) => error.to_string(),
            Ok(answer) if !is_good(answer) => "its answer is no good one".to_owned(),
            // Nobody makes room for the right one.
            Ok(answer) if !is_of(answer, id) => return Err("another instance answers".to_owned()),
            Ok(_) => return Ok(()),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(reason);
        }
        thread::sleep(PAUSE);
    }
}

/// Who says nothing of an id is of an earlier version.
fn is_of(answer: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(answer);
    let told = text.split_once("\"instanceId\":").map(|(_, rest)| rest.trim_start());
    told.is_none_or(|told| {
        id.is_empty() || told.starts_with("\"\"") || told.starts_with(&format!("\"{id}\""))
    })
}

fn answers_before(port: u16, deadline: Instant) -> io::Result<bool> {
    ask_before(port, deadline, MAX_LINE, |read| read.contains(&b'\n')).map(|answer| is_good(&answer))
}

fn is_good(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.lines().next().and_then(|line| line.split(' ').nth(1)).is_some_and(|status| status.starts_with('2'))
}

/// Returns the beginning of the answer.
fn ask_before(
    port: u16,
    deadline: Instant,
    limit: usize,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("GET /api/build-info HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; MAX_LINE];
    while answer.len() < limit && !is_enough(&answer) {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn tells_a_server_from_a_closed_port_and_from_another_answer() {
        let answering = |status: &'static str| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 256];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /api/build-info HTTP/1.1\r\n"));
                write!(stream, "HTTP/1.1 {status}\r\n\r\n").unwrap();
            });
            port
        };
        let closed = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        let ports = [answering("200 OK"), closed, answering("404 Not Found")];
        assert_eq!(ask(&ports, Instant::now() + DEADLINE), [true, false, false]);
    }

    #[test]
    fn another_instance_is_not_the_one_that_is_waited_for() {
        let answer = |id: &str| format!("HTTP/1.1 200 OK\r\n\r\n{{\"instanceId\":\"{id}\"}}").into_bytes();
        assert!(is_of(&answer("a"), "a") && is_of(&answer(""), "a") && is_of(&answer("b"), ""));
        assert!(!is_of(&answer("ab"), "a"));
        assert!(is_of(b"HTTP/1.1 200 OK\r\n\r\n{}", "a"));
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(answers_as(closed, "a", Duration::ZERO).is_err());
    }

    #[test]
    fn who_says_nothing_costs_no_more_than_the_deadline() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = vec![silent.local_addr().unwrap().port(); 40];
        let begin = Instant::now();
        assert_eq!(ask(&ports, begin + Duration::from_millis(50)), [false; 40]);
        assert!(begin.elapsed() < PATIENCE);
    }
}
