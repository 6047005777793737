//! An SMTP relay that keeps what it is given, or fails the way the test wants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How the relay treats the next mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// Refuses the recipient with this code.
    Refuses(u16),
    /// Refuses the recipients whose address says so with this code.
    RefusesOne(u16),
    /// Hangs up before the text.
    HangsUpEarly,
    /// Reads the text and hangs up without an answer.
    HangsUpLate,
}

#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    mood: Arc<Mutex<Mood>>,
    attempts: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { port, mails: Arc::default(), mood: Arc::default(), attempts: Arc::default() };
        let server = relay.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let relay = server.clone();
                tokio::spawn(async move { relay.talk(stream).await });
            }
        });
        relay
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Conversations begun.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 relay ready\r\n").await?;
        let mut mail = Mail { from: String::new(), to: Vec::new(), data: String::new() };
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let mood = *self.mood.lock().unwrap();
            let command = line.trim_end();
            let answer = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250-relay\r\n250 8BITMIME\r\n".to_owned(),
                "MAIL" => {
                    mail.from = command.to_owned();
                    "250 ok\r\n".to_owned()
                }
                "RCPT" => match mood {
                    Mood::Refuses(code) => format!("{code} no\r\n"),
                    Mood::RefusesOne(code) if command.contains("refused") => format!("{code} no\r\n"),
                    _ => {
                        mail.to.push(command.to_owned());
                        "250 ok\r\n".to_owned()
                    }
                },
                "DATA" if mood == Mood::HangsUpEarly => return Ok(()),
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    mail.data = read_text(&mut stream).await?;
                    if mood == Mood::HangsUpLate {
                        return Ok(());
                    }
                    self.mails.lock().unwrap().push(mail.clone());
                    "250 2.0.0 queued as <relay-1@relay.test>\r\n".to_owned()
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "502 what\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

async fn read_text(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(&line);
    }
}

impl Mail {
    /// A header's value, unfolded.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&prefix));
        line.map(|line| line[prefix.len()..].trim().to_owned()).unwrap_or_default()
    }

    /// The plain text.
    pub(crate) fn text(&self) -> String {
        let parsed = self.parsed();
        parsed.body_text(0).unwrap_or_default().trim_end().replace("\r\n", "\n")
    }

    /// The names and contents of its files.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        use mail_parser::MimeHeaders;
        let parsed = self.parsed();
        let file = |part: &mail_parser::MessagePart<'_>| {
            (part.attachment_name().unwrap_or_default().to_owned(), part.contents().to_vec())
        };
        parsed.attachments().map(file).collect()
    }

    pub(crate) fn parsed(&self) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default().parse(self.data.as_bytes()).unwrap()
    }
}
