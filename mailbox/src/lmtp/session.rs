//! One conversation as a state machine: lines in, replies and wishes out. It knows no socket, no clock
//! and no mailbox.

use crate::address::Address;

/// Recipients of one mail; a mail server sends the rest as another.
pub(super) const MAX_RECIPIENTS: usize = 20;

/// Longest command line (RFC 5321 §4.5.3.1.4, and room for parameters).
pub(super) const MAX_LINE: usize = 2_048;

/// Commands that make no sense, until the conversation is ended.
const MAX_MISTAKES: u32 = 20;

/// A reply with its code.
pub(super) type Reply = String;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Say this.
    Say(Reply),
    /// Ask whether this recipient is taken, and tell [`Session::decided`].
    Ask { to: Address, size: Option<u64> },
    /// Say this and read the text; then tell [`Session::delivered`].
    Text(Reply),
    /// Say this and hang up.
    End(Reply),
}

/// Where a conversation stands.
#[derive(Debug)]
pub(super) struct Session {
    /// Our name in the greeting.
    host: String,
    /// Largest message taken.
    max_size: u64,
    greeted: bool,
    mail: Option<Mail>,
    mistakes: u32,
}

/// The mail that is being announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    /// Empty is the null path.
    pub(super) from: String,
    size: Option<u64>,
    recipients: usize,
}

impl Session {
    pub(super) fn new(host: &str, max_size: u64) -> Self {
        Self { host: host.to_owned(), max_size, greeted: false, mail: None, mistakes: 0 }
    }

    pub(super) fn greeting(&self) -> Reply {
        format!("220 {} LMTP", self.host)
    }

    /// Tells whether no mail is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.mail.is_none()
    }

    /// Returns the envelope sender of the mail under way.
    pub(super) fn from(&self) -> &str {
        self.mail.as_ref().map_or("", |mail| &mail.from)
    }

    /// Takes a line without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Step {
        if line.len() > MAX_LINE {
            return self.mistake("500 5.5.2 the line is too long");
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return self.mistake("500 5.5.2 the line is not UTF-8");
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "LHLO" => self.hello(rest),
            "HELO" | "EHLO" => self.mistake("500 5.5.1 this is LMTP: say LHLO"),
            "MAIL" => self.mail(rest),
            "RCPT" => self.recipient(rest),
            "DATA" => self.text(rest),
            "RSET" => {
                self.mail = None;
                say("250 2.0.0 forgotten")
            }
            "NOOP" => say("250 2.0.0 yes"),
            "VRFY" => say("252 2.1.5 send it and see"),
            "QUIT" => Step::End("221 2.0.0 goodbye".to_owned()),
            _ => self.mistake("500 5.5.1 no such command"),
        }
    }

    /// Hears what was decided about a recipient; `None`: taken.
    pub(super) fn decided(&mut self, refusal: Option<&str>) -> Reply {
        match (refusal, &mut self.mail) {
            (Some(refusal), _) => refusal.to_owned(),
            (None, Some(mail)) => {
                mail.recipients += 1;
                "250 2.1.5 taken".to_owned()
            }
            (None, None) => "503 5.5.1 MAIL comes first".to_owned(),
        }
    }

    /// Hears that the text was read and answered.
    pub(super) fn delivered(&mut self) {
        self.mail = None;
    }

    fn hello(&mut self, name: &str) -> Step {
        if name.trim().is_empty() {
            return self.mistake("501 5.5.4 say who you are");
        }
        self.greeted = true;
        self.mail = None;
        let Self { host, max_size, .. } = self;
        say(&format!(
            "250-{host}\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
             250 SIZE {max_size}"
        ))
    }

    fn mail(&mut self, rest: &str) -> Step {
        if !self.greeted {
            return self.mistake("503 5.5.1 LHLO comes first");
        }
        if self.mail.is_some() {
            return self.mistake("503 5.5.1 one mail after the other");
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.mistake("501 5.5.4 say MAIL FROM:<address>");
        };
        if !from.is_empty() && Address::parse(from).is_err() {
            return say("553 5.1.7 the sender is no address");
        }
        let mut size = None;
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" => match value.parse() {
                    Ok(value) => size = Some(value),
                    Err(_) => return self.mistake("501 5.5.4 the size is no number"),
                },
                "BODY" | "SMTPUTF8" => {}
                _ => return say("555 5.5.4 no such parameter"),
            }
        }
        if size.is_some_and(|size| size > self.max_size) {
            return say("552 5.3.4 the message is too large");
        }
        self.mail = Some(Mail { from: from.to_owned(), size, recipients: 0 });
        say("250 2.1.0 go on")
    }

    fn recipient(&mut self, rest: &str) -> Step {
        let Some(mail) = &self.mail else { return self.mistake("503 5.5.1 MAIL comes first") };
        let (taken, size) = (mail.recipients, mail.size);
        let Some((to, parameters)) = path(rest, "TO:") else {
            return self.mistake("501 5.5.4 say RCPT TO:<address>");
        };
        if !parameters.trim().is_empty() {
            return say("555 5.5.4 no such parameter");
        }
        if taken >= MAX_RECIPIENTS {
            return say("452 4.5.3 too many recipients");
        }
        match Address::parse(to) {
            Ok(to) => Step::Ask { to, size },
            Err(_) => say("553 5.1.3 the recipient is no address"),
        }
    }

    fn text(&mut self, rest: &str) -> Step {
        if !rest.trim().is_empty() {
            return self.mistake("501 5.5.4 DATA has no parameter");
        }
        match &self.mail {
            None => self.mistake("503 5.5.1 MAIL comes first"),
            // RFC 2033 §4.2: without a recipient there is nothing to read.
            Some(mail) if mail.recipients == 0 => say("503 5.5.1 nobody is to get it"),
            Some(_) => Step::Text("354 go on, end with a dot".to_owned()),
        }
    }

    fn mistake(&mut self, reply: &str) -> Step {
        self.mistakes += 1;
        if self.mistakes >= MAX_MISTAKES {
            return Step::End("421 4.7.0 too many mistakes".to_owned());
        }
        say(reply)
    }
}

fn say(reply: &str) -> Step {
    Step::Say(reply.to_owned())
}

/// Splits `FROM:<a@b> parameters`; a space behind the colon is taken, too.
fn path<'a>(rest: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (head, tail) = rest.split_at_checked(word.len())?;
    let tail = tail.trim_start_matches(' ').strip_prefix('<').filter(|_| head.eq_ignore_ascii_case(word))?;
    // A `>` may stand in a quoted local part.
    let mut quoted = false;
    let mut escaped = false;
    let end = tail.find(|c| {
        let ends = c == '>' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let parameters = &tail[end + 1..];
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((&tail[..end], parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session() -> Session {
        Session::new("here", 1_000)
    }

    /// Takes every recipient and delivers every mail; returns the codes that were said.
    fn talk(lines: &[&str]) -> Vec<String> {
        let mut session = session();
        let mut codes = Vec::new();
        for line in lines {
            let reply = match session.line(line.as_bytes()) {
                Step::Say(reply) | Step::End(reply) => reply,
                Step::Ask { .. } => session.decided(None),
                Step::Text(reply) => {
                    session.delivered();
                    reply
                }
            };
            codes.push(reply[..3].to_owned());
        }
        codes
    }

    #[test]
    fn a_mail_goes_its_way() {
        let lines = [
            "LHLO mx",
            "MAIL FROM:<a@b.c> SIZE=900 BODY=8BITMIME",
            "RCPT TO:<d@e.f>",
            "RCPT TO:<g@e.f>",
            "DATA",
            "MAIL FROM:<>",
            "RCPT TO:<d@e.f>",
            "RSET",
            "NOOP",
            "QUIT",
        ];
        assert_eq!(talk(&lines), ["250", "250", "250", "250", "354", "250", "250", "250", "250", "221"]);
    }

    #[test]
    fn nothing_goes_out_of_order_or_beyond_the_limits() {
        for (lines, last) in [
            (&["MAIL FROM:<a@b.c>"][..], "503"),
            (&["EHLO mx"], "500"),
            (&["LHLO mx", "RCPT TO:<a@b.c>"], "503"),
            (&["LHLO mx", "MAIL FROM:<a@b.c>", "MAIL FROM:<a@b.c>"], "503"),
            (&["LHLO mx", "MAIL FROM:<a@b.c>", "DATA"], "503"),
            (&["LHLO mx", "DATA"], "503"),
            (&["LHLO mx", "MAIL FROM:a@b.c"], "501"),
            (&["LHLO mx", "MAIL FROM:<a b>"], "553"),
            (&["LHLO mx", "MAIL FROM:<a@b.c> SIZE=1001"], "552"),
            (&["LHLO mx", "MAIL FROM:<a@b.c> SIZE=x"], "501"),
            (&["LHLO mx", "MAIL FROM:<a@b.c> FUTURE=1"], "555"),
            (&["LHLO mx", "MAIL FROM:<>", "RCPT TO:<>"], "553"),
            (&["LHLO mx", "MAIL FROM:<a@b.c>x"], "501"),
        ] {
            assert_eq!(talk(lines).last().unwrap(), last, "{lines:?}");
        }
        let mut many = vec!["LHLO mx", "MAIL FROM:<>"];
        many.extend(["RCPT TO:<a@b.c>"; MAX_RECIPIENTS + 1]);
        assert_eq!(talk(&many).last().unwrap(), "452");
        assert_eq!(talk(&["?"; 20]).last().unwrap(), "421");
    }

    #[test]
    fn the_null_path_and_quoted_parts_are_read() {
        assert_eq!(path("FROM:<>", "FROM:"), Some(("", "")));
        assert_eq!(path("from: <\"a>b\"@c.d> SIZE=1", "FROM:"), Some(("\"a>b\"@c.d", " SIZE=1")));
        assert_eq!(path("FROM:<\"a\\\">b\"@c.d>", "FROM:"), Some(("\"a\\\">b\"@c.d", "")));
    }

    proptest! {
        /// Whatever is said, in whatever order: each line has one answer of known form, a text is read
        /// only for somebody, and nothing panics.
        #[test]
        fn any_conversation_is_answered_in_order(lines in prop::collection::vec(prop_oneof![
            Just(b"LHLO x".to_vec()), Just(b"MAIL FROM:<a@b.c>".to_vec()), Just(b"MAIL FROM:<>".to_vec()),
            Just(b"RCPT TO:<d@e.f>".to_vec()), Just(b"DATA".to_vec()), Just(b"RSET".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40)], 0..40), takes in any::<bool>())
        {
            let mut session = session();
            let mut taken = 0;
            for line in lines {
                let reply = match session.line(&line) {
                    Step::Say(reply) => reply,
                    Step::End(reply) => {
                        prop_assert!(reply.starts_with("221") || reply.starts_with("421"));
                        return Ok(());
                    }
                    Step::Ask { .. } => {
                        taken += usize::from(takes);
                        session.decided((!takes).then_some("550 5.1.1 no"))
                    }
                    Step::Text(reply) => {
                        prop_assert!(taken > 0);
                        session.delivered();
                        reply
                    }
                };
                if session.mail.as_ref().is_none_or(|mail| mail.recipients == 0) {
                    taken = 0;
                }
                let parts: Vec<&str> = reply.split("\r\n").collect();
                for (n, part) in parts.iter().enumerate() {
                    prop_assert!(part.len() > 4 && part[..3].bytes().all(|b| b.is_ascii_digit()));
                    let mark = if n + 1 == parts.len() { " " } else { "-" };
                    prop_assert_eq!(&part[3..4], mark);
                }
            }
        }
    }
}
