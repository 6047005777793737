//! Style sheets: `url(…)` and `@import "…"`.

use super::address;

/// Longest word that matters, and one more.
const WORD: usize = "@import".len() + 1;

/// A style sheet on its way.
#[derive(Debug)]
pub(super) struct Rewriter {
    prefix: Vec<u8>,
    state: State,
    /// The word before this byte, cut when it is longer than any that matters.
    word: Vec<u8>,
    /// `@import` was there, and nothing but blanks since.
    import: bool,
    /// The beginning of an address, until it is known whether it needs the prefix.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Plain,
    /// What comes after a backslash means nothing.
    Escape,
    /// Perhaps the beginning of a comment.
    Slash,
    Comment,
    /// Perhaps the end of a comment.
    Star,
    /// After `url(`.
    Open,
    /// At the beginning of an address that ends with this.
    Address(u8),
    /// In a string or an address that ends with this.
    Text(u8),
    TextEscape(u8),
}

impl Rewriter {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            state: State::Plain,
            word: Vec::with_capacity(WORD),
            import: false,
            held: Vec::with_capacity(prefix.len() + 1),
        }
    }

    pub(super) fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            self.take(byte, out);
        }
    }

    pub(super) fn end(mut self, out: &mut Vec<u8>) {
        self.settle(out);
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (State::Address(end), _) if self.is_decided(byte, end) => {
                self.settle(out);
                self.state = State::Text(end);
            }
            (State::Address(_), _) if !(self.held.is_empty() && is_blank(byte)) => {
                self.held.push(byte);
                return;
            }
            (State::Open, b'"' | b'\'' | b')') => {}
            (State::Open, _) if !is_blank(byte) => {
                self.state = State::Address(b')');
                return self.take(byte, out);
            }
            _ => {}
        }
        out.push(byte);
        self.state = self.after(byte);
    }

    /// Tells whether all is there that tells whether an address needs the prefix.
    fn is_decided(&self, byte: u8, end: u8) -> bool {
        let is_end = byte == end || matches!(byte, b'\\' | b'\n') || (end == b')' && is_blank(byte));
        is_end || self.held.len() > self.prefix.len()
    }

    /// Lets go of what is held.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if address::is_outside(&self.held, &self.prefix) {
            out.extend_from_slice(&self.prefix);
        }
        out.append(&mut self.held);
    }

    fn after(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Slash, b'*') => State::Comment,
            (State::Comment | State::Star, b'*') => State::Star,
            (State::Star, b'/') => State::Plain,
            (State::Comment | State::Star, _) => State::Comment,
            (State::Open, b'"' | b'\'') => State::Address(byte),
            (State::Open, b')') | (State::Escape, _) => State::Plain,
            (State::Open | State::Address(_), _) => self.state,
            (State::Text(end), b'\\') => State::TextEscape(end),
            (State::Text(end), _) if byte == end => State::Plain,
            // A string does not go on in the next line.
            (State::Text(b'"' | b'\''), b'\n') => State::Plain,
            (State::Text(end) | State::TextEscape(end), _) => State::Text(end),
            (State::Plain | State::Slash, _) => self.after_plain(byte),
        }
    }

    fn after_plain(&mut self, byte: u8) -> State {
        let is_url = byte == b'(' && self.word.eq_ignore_ascii_case(b"url");
        let is_import = self.import || self.word.eq_ignore_ascii_case(b"@import");
        if is_of_word(byte) {
            self.import = false;
            if self.word.len() < WORD {
                self.word.push(byte);
            }
            return if byte == b'\\' { State::Escape } else { State::Plain };
        }
        self.word.clear();
        self.import = is_import && (byte == b'/' || is_blank(byte));
        match byte {
            b'"' | b'\'' if is_import => State::Address(byte),
            b'"' | b'\'' => State::Text(byte),
            b'/' => State::Slash,
            _ if is_url => State::Open,
            _ => State::Plain,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    address::is_blank(char::from(byte))
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-_@#\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sheet: &str) -> String {
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new("/p");
        rewriter.write(sheet.as_bytes(), &mut out);
        rewriter.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_get_the_prefix_and_nothing_else_does() {
        for (given, wanted) in [
            ("a{b:url(/x)}", "a{b:url(/p/x)}"),
            ("a{b:URL( '/x' )}", "a{b:URL( '/p/x' )}"),
            ("a{b:url(\"/x\"),url(/)}", "a{b:url(\"/p/x\"),url(/p/)}"),
            ("@import '/x';@import\"/y\" print;", "@import '/p/x';@import\"/p/y\" print;"),
            ("@import /**/ url(/x)", "@import /**/ url(/p/x)"),
            ("url(/p/x)url(/p)url(/px)url(/p?a)", "url(/p/x)url(/p)url(/p/px)url(/p?a)"),
            ("url(//h/x)url(x)url(data:,/x)url(#x)url()", "url(//h/x)url(x)url(data:,/x)url(#x)url()"),
            ("/* url(/x) */a{content:'url(/x)'}", "/* url(/x) */a{content:'url(/x)'}"),
            ("/**/url(/x)/* **/url(/y)", "/**/url(/p/x)/* **/url(/p/y)"),
            ("'\\'url(/x)'url(/y)", "'\\'url(/x)'url(/p/y)"),
            ("my-url(/x) #url(/x) u\\rl(/x)", "my-url(/x) #url(/x) u\\rl(/x)"),
            ("@important '/x';@import x '/y'", "@important '/x';@import x '/y'"),
            ("'broken\nurl(/x)", "'broken\nurl(/p/x)"),
            ("url(/", "url(/p/"),
            ("url(' /x')", "url(' /p/x')"),
        ] {
            assert_eq!(rewritten(given), wanted, "{given}");
            assert_eq!(rewritten(wanted), wanted, "{given} twice");
        }
    }
}
