//! A child as a real process: started, listened to, signalled, reaped.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remotelab_protocol::rest::{self, Rest};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::log::Writer;
use super::spec::Spec;

/// The beginning of the line by which a child says that it listens.
const READY: &str = "listening on ";

/// A longer line is logged in pieces.
const MAX_LINE: usize = 16 * 1024;

/// How long the output of a dead child is read on: a grandchild may hold its pipes open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a child may take to read a question.
const ASKING: Duration = Duration::from_secs(1);

/// A started process.
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// At most one [`Life::Ready`], answers, then one [`Life::Exited`].
    pub(crate) life: mpsc::Receiver<Life>,
    pub(crate) signals: mpsc::Sender<Signal>,
    /// Whether it has something to do.
    pub(crate) questions: mpsc::Sender<()>,
}

/// What a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It listens at this address.
    Ready(String),
    /// It says what it has to do.
    Rest(Rest),
    /// It ended, in words for people.
    Exited(String),
}

/// How processes are started: really here, by a stand-in in the tests of the keeper.
pub(crate) trait Driver: Send + Sync + 'static {
    fn spawn(&self, spec: &Spec) -> io::Result<Running>;
}

/// Starts real processes.
pub(crate) struct Processes {
    pub(crate) logs: Writer,
}

impl Driver for Processes {
    fn spawn(&self, spec: &Spec) -> io::Result<Running> {
        let mut child = Command::new(&spec.program)
            .args(&spec.arguments)
            .env_clear()
            .envs(&spec.environment)
            .current_dir(&spec.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal must reach the supervisor alone, which then drains in order.
            .process_group(0)
            .spawn()?;
        let pid = child.id().expect("a child that was not waited for has an id");
        let (life_sender, life) = mpsc::channel(4);
        let (signals, signal_queue) = mpsc::channel(4);
        let (questions, question_queue) = mpsc::channel(1);
        let output = Output::listen(&mut child, spec, &self.logs, life_sender.clone());
        tokio::spawn(tend(child, pid, output, (signal_queue, question_queue), life_sender));
        Ok(Running { pid, life, signals, questions })
    }
}

/// Forwards signals until the child has ended, and holds its standard input meanwhile: the end of that
/// tells the child that the supervisor is gone.
async fn tend(
    mut child: Child,
    pid: u32,
    output: Output,
    (mut signals, mut questions): (mpsc::Receiver<Signal>, mpsc::Receiver<()>),
    life: mpsc::Sender<Life>,
) {
    // `wait` would close the standard input, and with it end the child.
    let mut stdin = child.stdin.take();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            signal = signals.recv(), if stdin.is_some() => match signal {
                // Not reaped yet, so the id is still this child's.
                Some(signal) => send(pid, signal),
                // Nobody keeps it any more.
                None => stdin = None,
            },
            Some(()) = questions.recv() => ask(&mut stdin).await,
        }
    };
    drop(stdin);
    let last_words = output.last_words().await;
    let _ = life.send(Life::Exited(obituary(&status, last_words.as_deref()))).await;
}

/// Writes the question. A child that does not read it has no answer either.
async fn ask(stdin: &mut Option<ChildStdin>) {
    if let Some(stdin) = stdin {
        let _ = timeout(ASKING, stdin.write_all(rest::QUESTION.as_bytes())).await;
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended in this very moment.
        let _ = kill_process(pid, signal);
    }
}

fn obituary(status: &io::Result<ExitStatus>, last_words: Option<&str>) -> String {
    let status = match status {
        Ok(status) => status,
        Err(error) => return format!("cannot be waited for: {error}"),
    };
    // A process that was killed had not meant its last line as an explanation.
    match last_words.filter(|_| status.code().is_some()) {
        Some(words) => format!("{status}: {words}"),
        None => status.to_string(),
    }
}

/// The readers of a child's two output pipes.
struct Output {
    readers: [tokio::task::JoinHandle<()>; 2],
    last_error: Arc<Mutex<Option<String>>>,
}

impl Output {
    fn listen(child: &mut Child, spec: &Spec, logs: &Writer, life: mpsc::Sender<Life>) -> Self {
        let path = Arc::from(spec.log.as_path());
        let last_error = Arc::new(Mutex::new(None));
        let stdout = child.stdout.take().expect("the pipe was asked for");
        let stderr = child.stderr.take().expect("the pipe was asked for");
        let out = {
            let (path, logs) = (Arc::clone(&path), logs.clone());
            tokio::spawn(async move {
                let mut is_ready = false;
                let mut lines = Lines::new(stdout);
                while let Some(line) = lines.next().await {
                    let text = String::from_utf8_lossy(line);
                    if let Some(rest) = Rest::of_line(&text) {
                        let _ = life.send(Life::Rest(rest)).await;
                        continue;
                    }
                    if let Some(address) = text.strip_prefix(READY)
                        && !is_ready
                    {
                        is_ready = true;
                        let _ = life.send(Life::Ready(address.trim().to_owned())).await;
                    }
                    logs.line(&path, line).await;
                }
            })
        };
        let err = {
            let (last_error, logs) = (Arc::clone(&last_error), logs.clone());
            tokio::spawn(async move {
                let mut lines = Lines::new(stderr);
                while let Some(line) = lines.next().await {
                    note(&last_error, &String::from_utf8_lossy(line));
                    logs.line(&path, line).await;
                }
            })
        };
        Self { readers: [out, err], last_error }
    }

    async fn last_words(self) -> Option<String> {
        for mut reader in self.readers {
            if timeout(LAST_WORDS, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        self.last_error.lock().expect("no holder panics").take()
    }
}

/// Keeps the line that explains an end best: the last one, but an error rather than the hint below it.
fn note(last_error: &Mutex<Option<String>>, line: &str) {
    let line = line.trim();
    let mut last = last_error.lock().expect("no holder panics");
    let is_hint = line.starts_with("try: ") && last.is_some();
    if !line.is_empty() && !is_hint {
        *last = Some(line.strip_prefix("error: ").unwrap_or(line).to_owned());
    }
}

/// Lines of bounded length from a pipe.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R) -> Self {
        Self { reader: BufReader::new(pipe), line: Vec::new() }
    }

    /// Returns the next line without its end, or `None` after the last one.
    async fn next(&mut self) -> Option<&[u8]> {
        self.line.clear();
        loop {
            // A pipe that cannot be read has nothing more to say.
            let buffer = self.reader.fill_buf().await.unwrap_or_default();
            if buffer.is_empty() {
                return (!self.line.is_empty()).then_some(&self.line);
            }
            let room = MAX_LINE - self.line.len();
            let piece = &buffer[..buffer.len().min(room)];
            let end = piece.iter().position(|&byte| byte == b'\n');
            self.line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            let used = end.map_or(piece.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() || self.line.len() == MAX_LINE {
                return Some(&self.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_the_limit_and_the_last_needs_no_end() {
        let long = "x".repeat(MAX_LINE + 3);
        let text = format!("one\n\n{long}\nlast");
        let mut lines = Lines::new(text.as_bytes());
        let mut lengths = Vec::new();
        while let Some(line) = lines.next().await {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 0, MAX_LINE, 3, 4]);
    }
}
