//! Manifests of web apps: the addresses at their known places.

use serde_json::Value;

use super::address;

/// Longest manifest that is read.
const MAX_LEN: usize = 64 * 1024;

/// A manifest on its way.
#[derive(Debug)]
pub(super) struct Rewriter {
    prefix: String,
    /// What came so far; `None` once it is too much.
    held: Option<Vec<u8>>,
}

impl Rewriter {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), held: Some(Vec::new()) }
    }

    pub(super) fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.held {
            Some(held) if held.len() + piece.len() <= MAX_LEN => held.extend_from_slice(piece),
            held => {
                out.extend(held.take().unwrap_or_default());
                out.extend_from_slice(piece);
            }
        }
    }

    pub(super) fn end(self, out: &mut Vec<u8>) {
        let Some(held) = self.held else { return };
        let changed = serde_json::from_slice(&held).ok().and_then(|mut manifest: Value| {
            let changes = put(&mut manifest, &PLACES, &self.prefix);
            changes.then(|| manifest.to_string().into_bytes())
        });
        out.extend(changed.unwrap_or(held));
    }
}

/// A member with an address, or one with more members, each alone or in a list.
enum Place {
    Address(&'static str),
    Below(&'static str, &'static [Place]),
}

use Place::{Address, Below};

const IMAGE: &[Place] = &[Address("src")];
const PLACES: [Place; 9] = [
    Address("id"),
    Address("start_url"),
    Address("scope"),
    Below("icons", IMAGE),
    Below("screenshots", IMAGE),
    Below("shortcuts", &[Address("url"), Below("icons", IMAGE)]),
    Below("share_target", &[Address("action")]),
    Below("file_handlers", &[Address("action"), Below("icons", IMAGE)]),
    Below("protocol_handlers", &[Address("url")]),
];

/// Puts the prefix to what needs it; tells whether anything did.
fn put(value: &mut Value, places: &[Place], prefix: &str) -> bool {
    match value {
        Value::Array(list) => list.iter_mut().fold(false, |changed, one| put(one, places, prefix) | changed),
        Value::Object(members) => places.iter().fold(false, |changed, place| {
            let here = match place {
                Below(name, places) => members.get_mut(*name).is_some_and(|value| put(value, places, prefix)),
                Address(name) => match members.get_mut(*name) {
                    Some(Value::String(text)) => match address::below(text, prefix) {
                        Some(below) => {
                            *text = below;
                            true
                        }
                        None => false,
                    },
                    _ => false,
                },
            };
            here | changed
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(manifest: &str) -> String {
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new("/p");
        for piece in manifest.as_bytes().chunks(7) {
            rewriter.write(piece, &mut out);
        }
        rewriter.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_members_get_the_prefix() {
        let given = r#"{"name":"/x","start_url":"/","scope":"/","id":"app","icons":[{"src":"/a.png"},{"src":"b.png"}],"shortcuts":[{"url":"/s","icons":[{"src":"/c"}]}],"share_target":{"action":"/share"}}"#;
        let wanted = r#"{"name":"/x","start_url":"/p/","scope":"/p/","id":"app","icons":[{"src":"/p/a.png"},{"src":"b.png"}],"shortcuts":[{"url":"/p/s","icons":[{"src":"/p/c"}]}],"share_target":{"action":"/p/share"}}"#;
        assert_eq!(rewritten(given), wanted);
        assert_eq!(rewritten(wanted), wanted);
    }

    #[test]
    fn what_cannot_be_read_stays() {
        let long = format!("{{\"start_url\":\"/\",\"x\":\"{}\"}}", "x".repeat(MAX_LEN));
        for given in ["", "{\"start_url\": \"/\"", "[1, 2 ]", "{ \"scope\" : \"./\" }", &long] {
            assert_eq!(rewritten(given), given);
        }
    }
}
