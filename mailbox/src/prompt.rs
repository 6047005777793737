//! What a session is told about a mail.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::message::{Attachment, Message};
use crate::text::Extract;

/// Most files handed over with one mail, and their size together (bytes).
const MAX_FILES: usize = 25;
const MAX_FILE_BYTES: usize = 25 * 1024 * 1024;

/// Writes the message for the session. The header lines and the label are a contract with system
/// instructions and with people's habits; what follows the text is ours to word.
pub(crate) fn text(message: &Message, message_id: &str, extract: &Extract) -> String {
    let sender = message.head.sender.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut text = format!(
        "Inbound email.\n- From: {sender}\n- Subject: {}\n- Date: {}\n- Message-ID: <{message_id}>\n\nUser message:\n{}",
        message.head.subject, message.head.date, extract.reply
    );
    if !extract.quoted.is_empty() {
        let lines = extract.quoted.lines().count();
        let _ = write!(text, "\n\n(The mail also quotes {lines} lines of earlier correspondence.)");
    }
    let (taken, left_out) = split_by_limits(&message.attachments);
    if !taken.is_empty() {
        text.push_str("\n\nAttachments:");
        for file in taken {
            let _ = write!(text, "\n- {} ({}, {} bytes)", file.name, file.mime_type, file.bytes.len());
        }
    }
    if !left_out.is_empty() {
        text.push_str("\n\nNot handed over, too many or too large:");
        for file in left_out.iter().take(MAX_FILES) {
            let _ = write!(text, "\n- {} ({}, {} bytes)", file.name, file.mime_type, file.bytes.len());
        }
    }
    text
}

/// Keeps the attachments that are handed over.
pub(crate) fn within_limits(mut files: Vec<Attachment>) -> Vec<Attachment> {
    let mut fits = limits();
    files.retain(|file| fits(file));
    files
}

/// Divides attachments into those that are handed over and those beyond the limits.
fn split_by_limits(files: &[Attachment]) -> (Vec<&Attachment>, Vec<&Attachment>) {
    let mut fits = limits();
    files.iter().partition(|file| fits(file))
}

fn limits() -> impl FnMut(&Attachment) -> bool {
    let (mut count, mut total) = (0usize, 0usize);
    move |file| {
        let fits = count < MAX_FILES && total + file.bytes.len() <= MAX_FILE_BYTES;
        if fits {
            count += 1;
            total += file.bytes.len();
        }
        fits
    }
}

/// What a session and its message carry about their origin, for tools and for finding the run again.
pub(crate) struct Origin<'a> {
    pub(crate) item_id: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) thread_id: i64,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) message_id: &'a str,
    /// What is known of the sender.
    pub(crate) auth_verdict: &'a str,
}

impl Origin<'_> {
    pub(crate) fn context(&self) -> Value {
        json!({
            "channel": "email",
            "itemId": self.item_id,
            "requestId": self.request_id,
            "threadId": self.thread_id,
            "from": self.from,
            "to": self.to,
            "subject": self.subject,
            "messageId": self.message_id,
            "authVerdict": self.auth_verdict,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::extract;

    #[test]
    fn writes_the_documented_lines() {
        let raw = b"From: Owner <owner@example.com>\r\nSubject: Re: Monthly numbers\r\n\
            Date: Tue, 10 Mar 2026 03:00:00 +0000\r\nMessage-ID: <reply-1@example.com>\r\n\r\n\
            Great - and April too?\r\n\r\nOn Tue, 10 Mar 2026 Rowan wrote:\r\n> Done.\r\n";
        let message = crate::message::parse(&bytes::Bytes::from_static(raw)).unwrap();
        let parts = extract(&message.text, &message.head.subject);
        assert_eq!(
            text(&message, "reply-1@example.com", &parts),
            "Inbound email.\n- From: owner@example.com\n- Subject: Re: Monthly numbers\n\
             - Date: Tue, 10 Mar 2026 03:00:00 +0000\n- Message-ID: <reply-1@example.com>\n\n\
             User message:\nGreat - and April too?\n\n\
             (The mail also quotes 2 lines of earlier correspondence.)"
        );
    }

    #[test]
    fn leaves_out_what_is_beyond_the_limits() {
        let file =
            |size| Attachment { name: "f".into(), mime_type: "a/b".into(), bytes: vec![0; size].into() };
        let files = [file(MAX_FILE_BYTES - 1), file(2), file(1)];
        let (taken, left_out) = split_by_limits(&files);
        assert_eq!((taken.len(), left_out.len(), left_out[0].bytes.len()), (2, 1, 2));
        let many: Vec<_> = (0..MAX_FILES + 2).map(|_| file(0)).collect();
        assert_eq!(split_by_limits(&many).1.len(), 2);
    }
}
