//! The text of a mail on the wire (RFC 5321 §4.5.2): dots at the beginning of lines are doubled, and a
//! dot alone ends it. Only CR LF ends a line: a reader that takes less can be told of mails that its
//! neighbour does not see.

/// Reads a text piece by piece.
#[derive(Debug, Default)]
pub(super) struct Text {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    LineStart,
    /// A dot at the beginning of a line.
    Dot,
    /// A dot at the beginning of a line and a CR.
    DotCr,
    Line,
    Cr,
    Done,
}

impl Text {
    /// Takes bytes and adds what they mean to `out`. Returns how many were taken; the rest comes after
    /// the text.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        for (taken, &byte) in bytes.iter().enumerate() {
            if self.state == State::Done {
                return taken;
            }
            self.state = match (self.state, byte) {
                (State::LineStart, b'.') => State::Dot,
                (State::Dot, b'\r') => State::DotCr,
                (State::DotCr, b'\n') => State::Done,
                (State::DotCr, _) => {
                    // The dot was a doubled one after all, of a line that begins with CR.
                    out.extend([b'\r', byte]);
                    after(byte)
                }
                (State::Cr, b'\n') => {
                    out.push(byte);
                    State::LineStart
                }
                (_, byte) => {
                    out.push(byte);
                    after(byte)
                }
            };
        }
        bytes.len()
    }

    /// Tells whether the text has ended.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

fn after(byte: u8) -> State {
    if byte == b'\r' { State::Cr } else { State::Line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<u8>, bool, Vec<u8>) {
        let (mut text, mut out, mut rest) = (Text::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let taken = text.take(piece, &mut out);
            rest.extend_from_slice(&piece[taken..]);
        }
        (out, text.is_done(), rest)
    }

    /// As a mail server sends it; the message ends with CR LF.
    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut is_start = true;
        for (at, &byte) in message.iter().enumerate() {
            if is_start && byte == b'.' {
                sent.push(b'.');
            }
            sent.push(byte);
            is_start = byte == b'\n' && at > 0 && message[at - 1] == b'\r';
        }
        sent.extend(b".\r\n");
        sent
    }

    #[test]
    fn only_a_dot_between_whole_line_ends_ends_the_text() {
        assert_eq!(read(&[b"a\r\n.\r\nQUIT"]), (b"a\r\n".to_vec(), true, b"QUIT".to_vec()));
        assert_eq!(read(&[b".\r\n"]), (Vec::new(), true, Vec::new()));
        for smuggled in ["a\n.\nMAIL", "a\n.\r\nMAIL", "a\r.\r\nMAIL", "a\r\n.\nMAIL", "a\r\n.\rMAIL"] {
            assert!(!read(&[smuggled.as_bytes()]).1, "{smuggled:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read_whatever_the_pieces(
            message in prop::collection::vec(prop_oneof![
                Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..80),
            cut in 0usize..90)
        {
            let message = [message.as_slice(), b"\r\n"].concat();
            let sent = stuffed(&message);
            let cut = cut.min(sent.len());
            prop_assert_eq!(read(&[&sent[..cut], &sent[cut..]]), (message, true, Vec::new()));
        }

        #[test]
        fn any_bytes_are_read_without_growing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&[&bytes]).0.len() <= bytes.len());
        }
    }
}
