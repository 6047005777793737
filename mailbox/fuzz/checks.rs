//! What holds for any bytes. The fuzz targets look for bytes for which it does not.
//!
//! The readers of mail are private to their crate. Their files know nothing of sockets and stores, so
//! they are compiled here once more.

#[path = "../src"]
#[allow(dead_code, reason = "only what reads mail is called")]
mod readers {
    pub(crate) mod address;
    pub(crate) mod automated;
    pub(crate) mod letter;
    pub(crate) mod message;
    pub(crate) mod prompt;
    pub(crate) mod scan;
    pub(crate) mod text;
}

// Where the readers look for each other.
use readers::{address, automated, letter, message, prompt, scan, text};

use address::Address;
use bytes::Bytes;
use automated::{Class, Evidence};
use letter::Letter;
use message::Message;
use scan::Scanner;
use text::Extract;

/// The bytes are a mail. It is read the same twice, its files have names that are names, its sender is
/// the only one, and an answer to it holds no header that it wrote.
pub fn mail(data: &[u8]) {
    let scan = |pieces: &[&[u8]]| {
        let mut scanner = Scanner::new();
        pieces.iter().for_each(|piece| scanner.update(piece));
        scanner.finish()
    };
    let (front, back) = data.split_at(data.len() / 2);
    let scanned = scan(&[data]);
    assert_eq!(scan(&[front, back]), scanned);
    assert_is_id(&scanned.message_id);

    let raw = Bytes::copy_from_slice(data);
    let Ok(message) = message::parse(&raw) else { return };
    assert_eq!(message::parse(&raw).as_ref(), Ok(&message));
    assert_eq!(message::head(data).as_ref(), Ok(&message.head), "the header says the same alone");
    assert_is_one_line(&message.head.subject, 500);
    assert_is_one_line(&message.head.date, 100);
    assert!(!message.text.contains(['\r', '\0']));
    assert!(message.head.references.len() <= 200);
    message.head.references.iter().chain(&message.head.in_reply_to).for_each(|id| assert_is_id(id));
    assert_files_have_names(&message);
    if message.head.sender.is_ok() {
        let written = |field: &&scan::Field| field.name.eq_ignore_ascii_case("from");
        assert_eq!(message.head.fields.iter().filter(written).count(), 1);
    }
    let class = automated::classify(&Evidence {
        fields: &message.head.fields,
        mail_from: Some(""),
        sender: message.head.sender.as_ref().ok(),
        subject: &message.head.subject,
        references: message.head.references.len(),
        from_ourselves: false,
    });
    assert!(matches!(class, Class::Dsn | Class::Loop), "a report is never answered");

    let parts = text::extract(&message.text, &message.head.subject);
    assert_nothing_lost(&message.text, &parts);
    let told = prompt::text(&message, &scanned.message_id, &parts);
    assert!(told.starts_with("Inbound email.\n- From: ") && told.contains(&parts.reply));
    assert!(prompt::within_limits(message.attachments.clone()).len() <= 25);
    assert_answer_is_ours(&message, &scanned.message_id, &parts);
}

/// The bytes are an address. What is one is printed as one, on one line, and equals itself.
pub fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(address) = Address::parse(&text) else { return };
    let printed = address.to_string();
    assert_eq!(Address::parse(&printed).as_ref(), Ok(&address));
    assert!(!printed.chars().any(char::is_control), "{printed:?}");
    assert_eq!(address.key(), format!("{}@{}", address.local_key(), address.domain()));
    assert!(!address.domain().contains(['@', ' ', ',', '<', '>', '"', '[']), "{printed:?}");
}

/// The first line is a subject, the rest the text of a mail, plain and as HTML.
pub fn extract(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (subject, text) = text.split_once('\n').unwrap_or_default();
    assert_nothing_lost(text, &text::extract(text, subject));
    for delsp in [false, true] {
        let unflowed = text::unflow(text, delsp);
        let letters =
            |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != '>').collect::<String>();
        assert_eq!(letters(&unflowed), letters(text));
    }
    if let Some(html) = text::to_text(text) {
        assert_nothing_lost(&html, &text::extract(&html, subject));
    }
}

/// Every line that says something is in one of the parts, in order; and where something is written,
/// something is the answer.
fn assert_nothing_lost(text: &str, parts: &Extract) {
    let lines = |text: &str| {
        let lines = text.lines().map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let kept = [parts.reply.as_str(), &parts.signature, &parts.quoted].join("\n");
    assert_eq!(lines(&kept), lines(text));
    assert_eq!(parts.reply.is_empty(), text.trim().is_empty());
}

fn assert_files_have_names(message: &Message) {
    let mut names: Vec<String> = Vec::new();
    for file in &message.attachments {
        assert!(!file.name.is_empty() && file.name.chars().count() <= 140, "{file:?}");
        assert!(!file.name.contains(['/', '\\', '"']) && !file.name.starts_with('.'), "{file:?}");
        assert!(!file.name.chars().any(char::is_control), "{file:?}");
        let name = file.name.to_ascii_lowercase();
        assert!(!names.contains(&name), "{name} twice");
        names.push(name);
        assert!(
            file.mime_type.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
            "{file:?}"
        );
        assert!(file.mime_type.bytes().all(|b| b.is_ascii_graphic()), "{file:?}");
    }
}

fn assert_answer_is_ours(message: &Message, message_id: &str, parts: &Extract) {
    const OURS: [&str; 13] = [
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "auto-submitted",
        "x-auto-response-suppress",
        "x-remotelab-loop",
    ];
    let ours = Address::parse("rowan+trial1@example.com").expect("an address");
    let Ok(sender) = &message.head.sender else { return };
    let answer = Letter {
        from_name: "Rowan".into(),
        from: ours.clone(),
        to: vec![letter::recipient(sender, message.head.reply_to.as_ref(), |_| false)],
        left: Vec::new(),
        subject: letter::reply_subject(&message.head.subject),
        text: parts.reply.clone(),
        in_reply_to: Some(message_id.to_owned()),
        references: message.head.references.iter().cloned().chain([message_id.to_owned()]).collect(),
        message_id: "remotelab-1@example.com".into(),
        hop: Some("trial1/1".into()),
        html: None,
        reply_to: None,
        bounce: None,
        files: Vec::new(),
    };
    // An address that another reader of the grammar refuses cannot be answered.
    let Ok(bytes) = answer.to_bytes(0, &[]) else { return };
    let read = message::parse(&bytes.into()).expect("our own mail");
    assert_eq!(read.head.sender.as_ref(), Ok(&ours));
    for field in &read.head.fields {
        let name = field.name.to_ascii_lowercase();
        assert!(OURS.contains(&name.as_str()), "{name} in an answer");
    }
}

fn assert_is_one_line(text: &str, longest: usize) {
    assert!(!text.chars().any(char::is_control) && text.chars().count() <= longest, "{text:?}");
}

fn assert_is_id(id: &str) {
    assert!(!id.is_empty() && id.len() <= 900, "{id:?}");
    assert!(!id.contains(['<', '>']) && !id.chars().any(|c| c.is_whitespace() || c.is_control()), "{id:?}");
}
