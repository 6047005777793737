//! The header by which a proxy for any protocol says whom a connection comes from (PROXY protocol, versions 1
//! and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header that is read; what else one may carry is not needed.
pub const MAX_LEN: usize = 536;
const MAX_LINE: usize = 107;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8] = b"PROXY ";

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The header is not whole; all of it so far belongs to it.
    More,
    /// The header ends after so many bytes.
    Done {
        /// Its length.
        len: usize,
        /// Who connected to the proxy; `None` when the proxy speaks for itself or cannot tell.
        source: Option<SocketAddr>,
    },
}

/// The bytes are no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a proxy's header")]
pub struct Malformed;

/// Reads the beginning of a connection.
///
/// # Errors
/// [`Malformed`] as soon as that is certain.
pub fn parse(bytes: &[u8]) -> Result<Step, Malformed> {
    let begins = |with: &[u8]| with.iter().zip(bytes).all(|(expected, byte)| expected == byte);
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(WORD) {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

fn line(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(Step::More) } else { Err(Malformed) };
    };
    let text = bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = text.ok_or(Malformed)?.split(' ').collect();
    let source = match words[..] {
        [_, "UNKNOWN", ..] => None,
        [_, family @ ("TCP4" | "TCP6"), source, _, port, _] => {
            let ip: IpAddr = source.parse().map_err(|_| Malformed)?;
            if ip.is_ipv4() != (family == "TCP4") {
                return Err(Malformed);
            }
            Some(SocketAddr::new(ip, decimal(port)?))
        }
        _ => return Err(Malformed),
    };
    Ok(Step::Done { len: end + 1, source })
}

fn decimal(text: &str) -> Result<u16, Malformed> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

fn binary(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some((&[command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk)
    else {
        return Ok(Step::More);
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    let len = SIGNATURE.len() + 4 + body;
    if len > MAX_LEN || command >> 4 != 2 {
        return Err(Malformed);
    }
    let Some(body) = rest.get(..body) else { return Ok(Step::More) };
    let source = match (command & 0xf, family >> 4) {
        (0, _) | (1, 0 | 3) => None,
        (1, 1) => Some(source::<4, 8>(body).map(|(ip, port)| (Ipv4Addr::from(ip), port).into())?),
        (1, 2) => Some(source::<16, 32>(body).map(|(ip, port)| (Ipv6Addr::from(ip), port).into())?),
        _ => return Err(Malformed),
    };
    Ok(Step::Done { len, source })
}

/// The first of two addresses of `IP` bytes, and the first of the two ports after `BOTH` bytes.
fn source<const IP: usize, const BOTH: usize>(body: &[u8]) -> Result<([u8; IP], u16), Malformed> {
    let ip = body.first_chunk().ok_or(Malformed)?;
    let ports: &[u8; 4] = body.get(BOTH..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    Ok((*ip, u16::from_be_bytes([ports[0], ports[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, body].concat()
    }

    #[test]
    fn both_versions_tell_who_came() {
        let v4 = [&[192, 0, 2, 1], &[10, 0, 0, 1], &[0x12, 0x34, 0, 80][..]].concat();
        let v6 = [&[0x20; 16], &[0; 16], &[0x12, 0x34, 0, 80, 9, 9][..]].concat();
        let from_v6 = "[2020:2020:2020:2020:2020:2020:2020:2020]:4660";
        for (header, source) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), Some("192.0.2.1:4660")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), Some("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN what ever\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("192.0.2.1:4660")),
            (v2(0x21, 0x21, &v6), Some(from_v6)),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x21, 0x00, b"any"), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let source = source.map(|text| text.parse().unwrap());
            for at in 0..header.len() {
                assert_eq!(parse(&header[..at]), Ok(Step::More), "{at} of {header:?}");
            }
            let longer = [&header[..], b"GET /"].concat();
            assert_eq!(parse(&longer), Ok(Step::Done { len: header.len(), source }), "{header:?}");
        }
        for malformed in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4660\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 80\n".to_vec(),
            [WORD, &[b'x'; MAX_LINE]].concat(),
            v2(0x11, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x11, &v4[..11]),
            v2(0x21, 0x11, &[0; MAX_LEN]),
        ] {
            assert_eq!(parse(&malformed), Err(Malformed), "{malformed:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_longer_than_what_came(
            word in prop::sample::select(vec![SIGNATURE, WORD, b""]), rest in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [word, &rest].concat();
            if let Ok(Step::Done { len, .. }) = parse(&bytes) {
                prop_assert!(len <= bytes.len() && len <= MAX_LEN);
            }
        }
    }
}
