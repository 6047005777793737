//! Where requests of a connection begin and end, read so strictly that nobody can read it otherwise
//! (RFC 9112 §2.2, §5.1–5.2, §6.1–6.3, §7.1).
//!
//! The HTTP library repairs what it can: it drops a `Content-Length` beside `Transfer-Encoding`, merges equal
//! lengths, takes a bare line feed for a line's end. What has two readings is an attack or a defect, so it is
//! refused here before it is repaired there.

/// Longest part of a line that is looked at; lengths and codings are far shorter.
const MAX_LINE: usize = 8 * 1024;
/// Longest line of a chunk's size with its extensions.
const MAX_CHUNK_LINE: usize = 256 + 16;

/// Follows the bytes of one client connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

/// A place where the bytes have two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How many of the bytes just fed come before the offending line.
    pub good: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head(Head),
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// What the head of a request has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    begun: bool,
    is_http_1_0: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

impl Framing {
    /// Follows the next bytes, however they are cut.
    ///
    /// # Errors
    /// [`Violation`]; nothing after it can be trusted.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if let State::Body(left) | State::Chunk(left) = &mut self.state {
                // Not more than the slice is long.
                let step = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= step as u64;
                at += step;
                self.leave_if_done();
                continue;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                self.keep(rest);
                return Ok(());
            };
            self.line(&rest[..=end]).ok_or(Violation { good: at })?;
            at += end + 1;
        }
        Ok(())
    }

    /// Tells whether a request's head has begun and is not complete.
    #[must_use]
    pub fn is_in_head(&self) -> bool {
        matches!(self.state, State::Head(head) if head.begun || !self.partial.is_empty())
    }

    fn leave_if_done(&mut self) {
        match self.state {
            State::Body(0) => self.state = State::default(),
            State::Chunk(0) => self.state = State::ChunkEnd,
            _ => {}
        }
    }

    /// Keeps the beginning of a line and its last two bytes, which tell how it ends.
    fn keep(&mut self, piece: &[u8]) {
        if self.partial.len() + piece.len() <= MAX_LINE {
            self.partial.extend_from_slice(piece);
            return;
        }
        let fits = MAX_LINE.saturating_sub(self.partial.len() + 2).min(piece.len());
        let before = self.partial.last().copied();
        let last: Vec<u8> = before.into_iter().chain(piece.iter().copied()).rev().take(2).collect();
        self.partial.extend_from_slice(&piece[..fits]);
        self.partial.truncate(MAX_LINE - 2);
        self.partial.extend(last.into_iter().rev());
    }

    /// Takes a whole line, or its end if it began before.
    fn line(&mut self, piece: &[u8]) -> Option<()> {
        if self.partial.is_empty() {
            self.state = self.state.after(piece)?;
            return Some(());
        }
        self.keep(piece);
        self.state = self.state.after(&self.partial)?;
        self.partial.clear();
        Some(())
    }
}

impl State {
    /// The state after a line; `None` when the line is not unambiguous.
    fn after(self, line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r\n")?;
        Some(match self {
            Self::Head(head) if line.is_empty() => head.end()?,
            Self::Head(head) if head.begun => Self::Head(head.field(line)?),
            Self::Head(_) => Self::Head(Head::request_line(line)?),
            Self::ChunkSize => match chunk_size(line)? {
                0 => Self::Trailers,
                size => Self::Chunk(size),
            },
            Self::ChunkEnd if line.is_empty() => Self::ChunkSize,
            Self::Trailers if line.is_empty() => Self::default(),
            Self::Trailers => {
                split_field(line)?;
                Self::Trailers
            }
            Self::ChunkEnd | Self::Body(_) | Self::Chunk(_) => return None,
        })
    }
}

impl Head {
    /// A fragment never leaves a browser, and the HTTP library would drop it silently.
    fn request_line(line: &[u8]) -> Option<Self> {
        let head = Self { begun: true, is_http_1_0: line.ends_with(b" HTTP/1.0"), ..Self::default() };
        (!line.contains(&b'#')).then_some(head)
    }

    fn field(mut self, line: &[u8]) -> Option<Self> {
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() || self.chunked {
                return None;
            }
            self.length = Some(decimal(value.trim_ascii())?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_plain = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if self.length.is_some() || self.chunked || self.is_http_1_0 || !is_plain {
                return None;
            }
            self.chunked = true;
        }
        Some(self)
    }

    fn end(self) -> Option<State> {
        Some(match (self.chunked, self.length) {
            (true, _) => State::ChunkSize,
            (false, Some(length @ 1..)) => State::Body(length),
            // Empty lines before a request are allowed (§2.2).
            _ => State::default(),
        })
    }
}

/// A name without white space around it, and its value. A folded line has no name.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic());
    is_token.then_some((name, value))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii_end();
    let is_number = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    if !is_number || line.len() > MAX_CHUNK_LINE {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n";

    #[test]
    fn a_head_lasts_from_its_first_byte_to_its_empty_line() {
        let mut framing = Framing::default();
        for (bytes, in_head) in [
            ("", false),
            ("\r\n", false),
            ("P", true),
            ("OST / HTTP/1.1\r\n", true),
            ("content-length: 2\r\n", true),
            ("\r", true),
            ("\nx", false),
            ("y", false),
            ("G", true),
        ] {
            framing.feed(bytes.as_bytes()).unwrap();
            assert_eq!(framing.is_in_head(), in_head, "{bytes:?}");
        }
    }

    fn verdict(text: &str) -> Option<usize> {
        Some(Framing::default().feed(text.as_bytes()).err()?.good)
    }

    #[test]
    fn plain_requests_pass_one_after_another() {
        let all = format!(
            "\r\n{GET}\r\nPOST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n\n\n\n\n\
             PUT / HTTP/1.1\r\nTRANSFER-ENCODING:  Chunked \r\n\r\n5 ;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nx: y\r\n\r\n\
             GET / HTTP/1.0\r\ncontent-length:0\r\n\r\n{GET}\r\n"
        );
        let mut framing = Framing::default();
        assert_eq!(framing.feed(all.as_bytes()), Ok(()));
        assert_eq!(framing, Framing::default());
    }

    #[test]
    fn two_readings_are_refused_where_they_begin() {
        for field in [
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            let second = field.find('\n').unwrap() + 1;
            assert_eq!(verdict(&format!("{GET}{field}\r\n")), Some(GET.len() + second), "{field}");
        }
        for line in [
            "content-length: +1",
            "content-length: -1",
            "content-length: 1, 1",
            "content-length:",
            "content-length: 0x1",
            "content-length: 99999999999999999999",
            "content-length : 1",
            "transfer-encoding: xchunked",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: identity",
            " folded: 1",
            "\tfolded",
            "nothing",
            ": x",
            "a b: c",
        ] {
            assert_eq!(verdict(&format!("{GET}{line}\r\n\r\n")), Some(GET.len()), "{line}");
        }
        assert_eq!(verdict("GET / HTTP/1.1\nhost: h\r\n\r\n"), Some(0));
        assert_eq!(verdict("GET /x#y HTTP/1.1\r\n\r\n"), Some(0));
        assert_eq!(verdict(&format!("{GET}\n")), Some(GET.len()));
        let http_1_0 = "POST / HTTP/1.0\r\n";
        assert_eq!(verdict(&format!("{http_1_0}transfer-encoding: chunked\r\n\r\n")), Some(http_1_0.len()));
    }

    #[test]
    fn chunks_have_one_reading() {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let long = format!("1;{}\r\n", "e".repeat(300));
        for body in [
            "\r\n",
            "zz\r\n",
            "+1\r\n",
            " 1\r\n",
            "1\n",
            "fffffffffffffffff\r\n",
            "0x1\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\n x\r\n",
            "0\r\nx: y\n",
            long.as_str(),
        ] {
            let good = verdict(&format!("{head}{body}")).expect(body);
            assert!(good >= head.len(), "{body:?}");
        }
    }

    #[test]
    fn long_lines_cost_bounded_memory_and_keep_their_end() {
        let mut framing = Framing::default();
        framing.feed(GET.as_bytes()).unwrap();
        framing.feed(b"x: ").unwrap();
        for _ in 0..100 {
            framing.feed(&[b'y'; 1000]).unwrap();
            assert!(framing.partial.len() <= MAX_LINE);
        }
        framing.feed(b"\r").unwrap();
        framing.feed(b"\n\r\n").unwrap();
        assert_eq!(framing, Framing::default());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            text in "(GET / HTTP/1.[01]\r\n|content-length: [0-3]\r\n|transfer-encoding: chunked\r\n|x: y\r?\n|[0-3]\r\n|abc|\r\n){0,12}",
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let whole = Framing::default().feed(text.as_bytes()).is_ok();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut framing = Framing::default();
            let pieces = cuts.windows(2).all(|cut| framing.feed(&text.as_bytes()[cut[0]..cut[1]]).is_ok());
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Framing::default().feed(&bytes);
        }
    }
}
