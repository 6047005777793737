//! Finding where quoted history begins.

/// The first sign of a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What kind of quote begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines with `>`, perhaps under "On … wrote:".
    Marked,
    /// A divider or header block: all below it is history.
    Below,
    /// A mail passed on.
    Forward,
}

/// A quote header is at most this long when its lines are joined.
const MAX_HEADER_CHARS: usize = 400;

/// How many lines a quote header may be wrapped over.
const MAX_HEADER_LINES: usize = 3;

/// Finds the first line of quoted history.
pub(super) fn first(lines: &[&str]) -> Option<Start> {
    (0..lines.len()).find_map(|line| {
        let rest = &lines[line..];
        let kind = if is_marked(rest[0]) || is_introduced_quote(rest) {
            Kind::Marked
        } else if is_forward_divider(rest[0]) {
            Kind::Forward
        } else if is_divider(rest[0]) || is_header_block(rest) {
            Kind::Below
        } else {
            return None;
        };
        Some(Start { line, kind })
    })
}

/// Tells whether a line carries the quote mark.
pub(super) fn is_marked(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// Returns how many lines "On … wrote:" takes at the beginning of `lines`; 0 when there is none.
pub(super) fn introduction_length(lines: &[&str]) -> usize {
    if is_introduction(lines[0]) {
        return 1;
    }
    // Only a line that begins like one may be continued: what stands above it is an answer.
    if !begins_introduction(lines[0]) {
        return 0;
    }
    let continues = |line: &&&str| !line.trim().is_empty() && !begins_introduction(line);
    let length = 1 + lines[1..].iter().take_while(continues).take(MAX_HEADER_LINES - 1).count();
    (2..=length).find(|&count| is_introduction(&lines[..count].join(" "))).unwrap_or(0)
}

fn begins_introduction(line: &str) -> bool {
    const STARTS: [&str; 14] = [
        "on ", "am ", "le ", "el ", "il ", "em ", "op ", "w dniu ", "dnia ", "den ", "no dia ", "в ", "在",
        "于",
    ];
    let line = line.trim().to_lowercase();
    STARTS.iter().any(|start| line.starts_with(start)) || line.starts_with(|c: char| c.is_ascii_digit())
}

/// "On … wrote:" with marked lines below it.
fn is_introduced_quote(lines: &[&str]) -> bool {
    let length = introduction_length(lines);
    length > 0 && lines[length..].iter().find(|line| !line.trim().is_empty()).is_some_and(|l| is_marked(l))
}

/// Recognises the sentence that mail programs put above a quote, in the languages they ship with.
fn is_introduction(text: &str) -> bool {
    const ENDINGS: [&str; 22] = [
        "wrote",
        "writes",
        "schrieb",
        "a écrit",
        "escribió",
        "ha scritto",
        "escreveu",
        "schreef",
        "pisze",
        "napisał",
        "napisał(a)",
        "napisała",
        "のメッセージ",
        "が書きました",
        "さんは書きました",
        "님이 작성",
        "님이 씀",
        "пишет",
        "написал",
        "написал(а)",
        "写道",
        "寫道",
    ];
    const GERMAN: [&str; 2] = ["schrieb ", "schreef "];
    let text = text.trim();
    let Some(text) = text.strip_suffix(':').or_else(|| text.strip_suffix('：')) else {
        return false;
    };
    if text.chars().count() > MAX_HEADER_CHARS || is_marked(text) {
        return false;
    }
    let text = text.trim_end().to_lowercase();
    let says_written =
        ENDINGS.iter().any(|ending| text.ends_with(ending)) || GERMAN.iter().any(|verb| text.contains(verb));
    // Dates and addresses tell the sentence from one that a person wrote.
    let is_dated = text.chars().any(|c| c.is_ascii_digit()) || text.contains('@');
    says_written && (is_dated || text.starts_with("on ") || text.starts_with('在') || text.starts_with('于'))
}

/// A line that only mail programs write, such as `-----Original Message-----`.
fn is_divider(line: &str) -> bool {
    const WORDS: [&str; 12] = [
        "original message",
        "original appointment",
        "ursprüngliche nachricht",
        "message d'origine",
        "message d’origine",
        "mensaje original",
        "messaggio originale",
        "mensagem original",
        "oorspronkelijk bericht",
        "исходное сообщение",
        "原始邮件",
        "原始郵件",
    ];
    let line = line.trim();
    let inner = line.trim_matches(['-', '_', ' ']).to_lowercase();
    let is_ruled = line.starts_with("--") || line.starts_with("__");
    is_ruled && WORDS.contains(&inner.as_str())
}

fn is_forward_divider(line: &str) -> bool {
    const WORDS: [&str; 8] = [
        "forwarded message",
        "begin forwarded message:",
        "weitergeleitete nachricht",
        "message transféré",
        "mensaje reenviado",
        "messaggio inoltrato",
        "转发的邮件",
        "轉寄郵件",
    ];
    let inner = line.trim().trim_matches(['-', ' ']).to_lowercase();
    let is_ruled = line.trim_start().starts_with("--") || inner.ends_with(':');
    is_ruled && WORDS.iter().any(|word| inner == *word || inner == format!("{word}:"))
}

/// Tells whether a subject says that a mail is passed on.
pub(super) fn is_forward_subject(subject: &str) -> bool {
    const PREFIXES: [&str; 9] = ["fwd:", "fw:", "wg:", "tr:", "rv:", "i:", "enc:", "转发:", "转发："];
    let subject = subject.trim_start().to_lowercase();
    PREFIXES.iter().any(|prefix| subject.starts_with(prefix))
}

/// A block of From/Sent/To/Subject lines as Outlook writes it, blank lines between them or not. It
/// begins with the sender and has at least two further fields within the next lines.
fn is_header_block(lines: &[&str]) -> bool {
    const FROM: [&str; 8] = ["from", "von", "de", "da", "van", "от", "发件人", "寄件者"];
    const FIELDS: [&str; 34] = [
        "sent",
        "date",
        "to",
        "cc",
        "subject",
        "gesendet",
        "datum",
        "an",
        "betreff",
        "envoyé",
        "à",
        "objet",
        "enviado",
        "enviado el",
        "fecha",
        "para",
        "asunto",
        "inviato",
        "data",
        "a",
        "oggetto",
        "assunto",
        "verzonden",
        "aan",
        "onderwerp",
        "отправлено",
        "дата",
        "кому",
        "тема",
        "发送时间",
        "收件人",
        "主题",
        "日期",
        "抄送",
    ];
    let is_field = |line: &str, names: &[&str]| {
        let line = line.trim().trim_start_matches('*');
        let Some((name, value)) = line.split_once([':', '：']) else {
            return false;
        };
        let name = name.trim_matches(['*', ' ']).to_lowercase();
        names.contains(&name.as_str()) && !value.trim().trim_matches('*').is_empty()
    };
    is_field(lines[0], &FROM)
        && lines[1..]
            .iter()
            .filter(|line| !line.trim().is_empty())
            .take(5)
            .filter(|line| is_field(line, &FIELDS))
            .count()
            >= 2
}

/// "Sent from my …" and its relatives.
pub(super) fn is_device_line(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "sent from my ",
        "sent from outlook",
        "get outlook for ",
        "von meinem ",
        "gesendet von ",
        "envoyé de mon ",
        "enviado desde mi ",
        "inviato da ",
        "发自我的",
    ];
    let line = line.trim().to_lowercase();
    line.chars().count() <= 60 && STARTS.iter().any(|start| line.starts_with(start))
}
