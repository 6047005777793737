//! Mail itself: taking it in, judging it, sending it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use remotelab_mailbox::{Desk, Queue as Shown, SendOptions, Source};

use super::Instance;
use crate::{output, runtime};

/// The longest text of a mail, in bytes.
const MAX_TEXT: u64 = 4 << 20;

/// Take mails in from files, those of a folder in the order of their names.
#[derive(Debug, clap::Args)]
pub(super) struct Ingest {
    /// A raw mail, or a folder of them; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "source")]
    files: Vec<PathBuf>,
    /// One more of them.
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
    /// Whom it is for; by default its `To` header says.
    #[arg(long, value_name = "EMAIL")]
    recipient: Option<String>,
}

/// List mail, the newest first.
#[derive(Debug, clap::Args)]
pub(super) struct Queue {
    /// `review`, `quarantine`, `approved` or `all`.
    #[arg(default_value = "review", value_parser = shown)]
    queue: Shown,
    #[command(flatten)]
    instance: Instance,
}

/// A decision about one mail or letter.
#[derive(Debug, clap::Args)]
pub(super) struct Verdict {
    /// Its id, as `queue` or `outbox` prints it.
    pub(super) id: String,
    /// Who decided.
    #[arg(long, value_name = "NAME")]
    pub(super) reviewer: Option<String>,
}

/// Send one mail.
///
/// It is stored first and tried once; the bridge tries again when that may help.
#[derive(Debug, clap::Args)]
#[group(id = "body", required = true, multiple = false, args = ["text", "text_file", "stdin"])]
pub(super) struct Send {
    /// A recipient; may be repeated.
    #[arg(long, required = true, value_name = "EMAIL")]
    to: Vec<String>,
    /// The text.
    #[arg(long)]
    text: Option<String>,
    /// The file that holds the text.
    #[arg(long, value_name = "PATH")]
    text_file: Option<PathBuf>,
    /// Read the text from standard input.
    #[arg(long)]
    stdin: bool,
    /// The subject.
    #[arg(long, default_value = "")]
    subject: String,
    /// The sender; by default the instance's own address.
    #[arg(long, value_name = "EMAIL")]
    from: Option<String>,
    /// The id of the mail that is answered.
    #[arg(long, value_name = "ID")]
    in_reply_to: Option<String>,
    /// The ids of the conversation.
    #[arg(long, value_name = "IDS")]
    references: Option<String>,
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn ingest(desk: &Desk, ingest: Ingest) -> anyhow::Result<()> {
    let source = |path: PathBuf| match path.as_os_str() == "-" {
        true => Source::Stream { name: "-".to_owned(), bytes: Box::new(io::stdin()) },
        false => Source::Path(path),
    };
    let sources = ingest.source.into_iter().chain(ingest.files).map(source).collect();
    output::json(&desk.ingest(sources, ingest.recipient.as_deref())?)
}

pub(super) fn queue(desk: &Desk, queue: &Queue) -> anyhow::Result<()> {
    output::json(&desk.queue(queue.queue, queue.instance.name()?.as_ref())?)
}

pub(super) fn release(desk: &Desk, verdict: &Verdict) -> anyhow::Result<()> {
    let reviewer = verdict.reviewer.as_deref();
    match desk.release_letter(&verdict.id, reviewer)? {
        Some(letter) => output::json(&letter),
        None => output::json(&desk.release(&verdict.id, reviewer)?),
    }
}

pub(super) fn reject(desk: &Desk, verdict: &Verdict) -> anyhow::Result<()> {
    let reviewer = verdict.reviewer.as_deref();
    match desk.reject_letter(&verdict.id, reviewer)? {
        Some(letter) => output::json(&letter),
        None => output::json(&desk.reject(&verdict.id, reviewer)?),
    }
}

pub(super) fn send(desk: &Desk, send: Send) -> anyhow::Result<()> {
    let text = match (send.text, &send.text_file) {
        (Some(text), _) => text,
        (None, Some(path)) => read_file(path)?,
        (None, None) => bounded(io::stdin().lock()).context("cannot read standard input")?,
    };
    let options = SendOptions {
        to: send.to,
        text,
        subject: send.subject,
        from: send.from,
        in_reply_to: send.in_reply_to,
        references: send.references,
        instance: send.instance.name()?,
    };
    runtime::enable_tls();
    let sent = runtime::block_on(async { Ok(desk.send(options).await?) })?;
    output::json(&sent)
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    File::open(path)
        .map_err(anyhow::Error::from)
        .and_then(bounded)
        .with_context(|| format!("cannot read {}", path.display()))
}

fn bounded(source: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = source.take(MAX_TEXT + 1).read_to_string(&mut text)?;
    ensure!(u64::try_from(read)? <= MAX_TEXT, "the text is longer than {MAX_TEXT} bytes");
    Ok(text)
}

pub(super) fn shown(text: &str) -> Result<Shown, &'static str> {
    Shown::parse(text).ok_or("it is review, quarantine, approved or all")
}
