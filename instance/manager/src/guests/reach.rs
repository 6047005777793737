//! Whether guests answer, on their own port and under their host name.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::view::View;

const PATH: &str = "/api/build-info";

const LOCAL_PATIENCE: Duration = Duration::from_millis(1500);

const PUBLIC_PATIENCE: Duration = Duration::from_secs(4);

/// The whole of the public questions ends after this time, however many there are.
const PUBLIC_DEADLINE: Duration = Duration::from_secs(5);

/// Questions under way at the same time.
const PARALLEL: usize = 16;

/// Asks all guests and notes the answers. Blocks for at most a few seconds. Guests with a host name need a
/// TLS provider in the process.
pub(super) fn probe(views: &mut [View]) {
    let public: Vec<String> = views.iter().map(View::public_base).collect();
    let ports: Vec<u16> = views.iter().map(|view| view.record.port).collect();
    let (local, public) = thread::scope(|scope| {
        let public = scope.spawn(|| ask_public(public));
        (ask_local(&ports), public.join().unwrap_or_default())
    });
    for ((view, local), public) in views.iter_mut().zip(local).zip(public) {
        view.local_reachable = Some(local);
        view.public_reachable = public;
    }
}

/// Asks these guests on their own ports alone.
pub(super) fn probe_locally(views: Vec<&mut View>) {
    let ports: Vec<u16> = views.iter().map(|view| view.record.port).collect();
    for (view, answers) in views.into_iter().zip(ask_local(&ports)) {
        view.local_reachable = Some(answers);
    }
}

fn ask_local(ports: &[u16]) -> Vec<bool> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut answers = Vec::new();
        while let Some((index, port)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            ports.get(index).map(|port| (index, *port))
        } {
            answers.push((index, answers_locally(port).unwrap_or(false)));
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

fn answers_locally(port: u16) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LOCAL_PATIENCE)?;
    stream.set_read_timeout(Some(LOCAL_PATIENCE))?;
    stream.set_write_timeout(Some(LOCAL_PATIENCE))?;
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(1024)).read_line(&mut line)?;
    Ok(line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')))
}

fn ask_public(bases: Vec<String>) -> Vec<Option<bool>> {
    let mut answers: Vec<Option<bool>> =
        bases.iter().map(|base| (!base.is_empty()).then_some(false)).collect();
    if answers.iter().all(Option::is_none) {
        return answers;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return answers;
    };
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PUBLIC_PATIENCE)
        .build();
    let Ok(client) = client else {
        return answers;
    };
    runtime.block_on(async {
        let places = Arc::new(Semaphore::new(PARALLEL));
        let mut questions = JoinSet::new();
        for (index, base) in bases.into_iter().enumerate().filter(|(_, base)| !base.is_empty()) {
            let (client, places) = (client.clone(), Arc::clone(&places));
            questions.spawn(async move {
                let _place = places.acquire().await;
                let answer = client.get(format!("{base}{PATH}")).send().await;
                (index, answer.is_ok_and(|answer| answer.status().is_success()))
            });
        }
        let note_all = async {
            while let Some(answer) = questions.join_next().await {
                if let Ok((index, reachable)) = answer {
                    answers[index] = Some(reachable);
                }
            }
        };
        let _ = tokio::time::timeout(PUBLIC_DEADLINE, note_all).await;
    });
    answers
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
        assert_eq!(ask_local(&ports), [true, false, false]);
    }
}
