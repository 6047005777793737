//! Where one WebSocket frame ends and the next begins (RFC 6455 §5.2): only there a frame of ours may stand. Nothing
//! but the heads of frames is looked at.

/// The direction from an instance to a client, byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames(At);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first byte of a frame.
    #[default]
    Boundary,
    /// Before its second byte.
    Second,
    /// In its longer length, so many bytes before the end of that.
    Length { left: u8, length: u64, masked: bool },
    /// In its mask.
    Mask { left: u8, length: u64 },
    /// So many bytes before its end.
    Payload(u64),
}

impl Frames {
    /// Takes note of bytes that passed.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let At::Payload(left) = self.0 {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                // It is no more than there are bytes.
                bytes = &bytes[usize::try_from(here).unwrap_or(bytes.len())..];
                self.0 = payload(left - here);
                continue;
            }
            bytes = rest;
            self.0 = match self.0 {
                At::Boundary => At::Second,
                At::Second => {
                    let masked = byte & 0x80 != 0;
                    match byte & 0x7f {
                        126 => At::Length { left: 2, length: 0, masked },
                        127 => At::Length { left: 8, length: 0, masked },
                        length => mask(u64::from(length), masked),
                    }
                }
                At::Length { left: 1, length, masked } => mask(length << 8 | u64::from(byte), masked),
                At::Length { left, length, masked } => {
                    At::Length { left: left - 1, length: length << 8 | u64::from(byte), masked }
                }
                At::Mask { left: 1, length } => payload(length),
                At::Mask { left, length } => At::Mask { left: left - 1, length },
                At::Payload(_) => unreachable!("it was looked at above"),
            };
        }
    }

    /// Tells whether a frame may stand here.
    #[must_use]
    pub fn is_boundary(&self) -> bool {
        self.0 == At::Boundary
    }
}

/// A frame that says why a socket is closed.
#[must_use]
pub fn close(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x88, 2, high, low]
}

fn mask(length: u64, masked: bool) -> At {
    if masked { At::Mask { left: 4, length } } else { payload(length) }
}

fn payload(length: u64) -> At {
    if length == 0 { At::Boundary } else { At::Payload(length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as it goes over the wire.
    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..=125 => bytes.push(mask | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(std::iter::repeat_n(0x88, if masked { 4 } else { 0 } + length));
        bytes
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end(
            lengths in prop::collection::vec((prop_oneof![0..300_usize, 65_500..65_600_usize], any::<bool>()), 1..6),
            piece in 1..70_000_usize,
        ) {
            let frames: Vec<Vec<u8>> = lengths.into_iter().map(|(length, masked)| frame(length, masked)).collect();
            let ends: Vec<usize> = frames.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) }).collect();
            let bytes = frames.concat();
            let mut seen = Frames::default();
            let mut at = 0;
            for piece in bytes.chunks(piece) {
                seen.pass(piece);
                at += piece.len();
                prop_assert_eq!(seen.is_boundary(), ends.contains(&at));
            }
        }
    }

    #[test]
    fn a_reason_is_two_bytes() {
        assert_eq!(close(1012), [0x88, 2, 0x03, 0xf4]);
    }
}
