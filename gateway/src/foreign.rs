//! Answers of programs that do not know the prefix that leads to them: their addresses get it on the way.
//!
//! Each kind of text is read in pieces as they come and written at once. Nothing is changed but where a
//! prefix goes in, whatever bytes stand around it; what cannot be read is passed on as it is.

pub mod address;
pub mod css;
pub mod html;
pub mod manifest;

use std::fmt;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};

use crate::compression::{self, Coding};

/// Longest answer without a length that is changed; what comes after that is passed on as it is.
pub const MAX_LEN: usize = 8 << 20;

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// A page.
    Html,
    /// A style sheet.
    Css,
    /// What a browser needs to install an app.
    Manifest,
}

/// How an answer is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is.
    pub text: Text,
    /// How it is packed.
    pub coding: Option<Coding>,
    /// Whether it may have no end.
    pub bounded: bool,
}

/// Tells how the answer to a request is to be changed, if it is.
#[must_use]
pub fn plan(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<Plan> {
    let has_body = *method != Method::HEAD
        && !status.is_informational()
        && ![
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::PARTIAL_CONTENT,
            StatusCode::NOT_MODIFIED,
        ]
        .contains(&status);
    if !has_body || compression::lists(headers, &CACHE_CONTROL, "no-transform") {
        return None;
    }
    let text = text(headers.get(CONTENT_TYPE)?.to_str().ok()?)?;
    let coding = compression::packed(headers).ok()?;
    Some(Plan { text, coding, bounded: headers.contains_key(CONTENT_LENGTH) })
}

/// What a content type can be read as; some charsets hide what they say.
fn text(content_type: &str) -> Option<Text> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let text = match essence.trim().to_ascii_lowercase().as_str() {
        "text/html" => Text::Html,
        "text/css" => Text::Css,
        "application/manifest+json" => Text::Manifest,
        _ => return None,
    };
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    charset.is_none_or(is_like_ascii).then_some(text)
}

/// Tells whether a charset writes plain letters and marks as ASCII does, and nothing else with their bytes.
pub(crate) fn is_like_ascii(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    !["utf-16", "utf-32", "utf-7", "utf16", "iso-2022", "csiso2022", "hz-gb", "ucs-2", "iso-10646", "unicode"]
        .iter()
        .any(|other| charset.starts_with(other) && !charset.starts_with("unicode-1-1-utf-8"))
}

/// A text on its way.
pub struct Rewriter(State);

enum State {
    /// Until its first byte tells that its letters take one byte each.
    Unread {
        text: Text,
        prefix: String,
        base: bool,
    },
    Html(Box<html::Rewriter>),
    Css(css::Rewriter),
    Manifest(manifest::Rewriter),
    /// Passed on as it is.
    Plain,
}

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewriter").finish_non_exhaustive()
    }
}

impl Rewriter {
    /// Begins a text that is reached below `prefix`, as `/wiki`. With `base`, a page is told the prefix.
    #[must_use]
    pub fn new(text: Text, prefix: &str, base: bool) -> Self {
        Self(State::Unread { text, prefix: prefix.to_owned(), base })
    }

    /// Takes a piece and adds what can be passed on.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if let (State::Unread { text, prefix, base }, Some(first)) = (&self.0, piece.first()) {
            self.0 = match text {
                // A mark of UTF-16.
                _ if matches!(first, 0xff | 0xfe) => State::Plain,
                Text::Html => State::Html(Box::new(html::Rewriter::new(prefix, *base))),
                Text::Css => State::Css(css::Rewriter::new(prefix)),
                Text::Manifest => State::Manifest(manifest::Rewriter::new(prefix)),
            };
        }
        match &mut self.0 {
            State::Html(html) => html.write(piece, out),
            State::Css(css) => css.write(piece, out),
            State::Manifest(manifest) => manifest.write(piece, out),
            State::Unread { .. } | State::Plain => out.extend_from_slice(piece),
        }
    }

    /// Adds what is left.
    pub fn end(self, out: &mut Vec<u8>) {
        match self.0 {
            State::Html(html) => html.end(out),
            State::Css(css) => css.end(out),
            State::Manifest(manifest) => manifest.end(out),
            State::Unread { .. } | State::Plain => {}
        }
    }

    /// Passes on as it is what comes from now on.
    pub fn stop(&mut self, out: &mut Vec<u8>) {
        std::mem::replace(self, Self(State::Plain)).end(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_read_is_known_by_its_head() {
        let html = ("content-type", "text/HTML; charset=\"GBK\"");
        let planned = |method: &Method, status: u16, headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            plan(method, StatusCode::from_u16(status).unwrap(), &map)
        };
        let whole = Plan { text: Text::Html, coding: None, bounded: false };
        assert_eq!(planned(&Method::POST, 404, &[html]), Some(whole));
        assert_eq!(
            planned(
                &Method::GET,
                200,
                &[("content-type", "text/css"), ("content-encoding", "br"), ("content-length", "9")]
            ),
            Some(Plan { text: Text::Css, coding: Some(Coding::Brotli), bounded: true })
        );
        for (method, status, headers) in [
            (Method::HEAD, 200, &[html][..]),
            (Method::GET, 204, &[html]),
            (Method::GET, 206, &[html]),
            (Method::GET, 304, &[html]),
            (Method::GET, 200, &[html, ("cache-control", "public, no-transform")]),
            (Method::GET, 200, &[html, ("content-encoding", "deflate")]),
            (Method::GET, 200, &[("content-type", "text/html; charset=UTF-16LE")]),
            (Method::GET, 200, &[("content-type", "text/css; charset=iso-2022-jp")]),
            (Method::GET, 200, &[("content-type", "application/json")]),
            (Method::GET, 200, &[("content-type", "text/javascript")]),
            (Method::GET, 200, &[]),
        ] {
            assert_eq!(planned(&method, status, headers), None, "{method} {status} {headers:?}");
        }
    }

    #[test]
    fn a_mark_of_utf_16_leaves_all_as_it_is() {
        let page: Vec<u8> = "\u{feff}<a href=/x>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(rewritten(Text::Html, &page, &[1]), page);
    }

    #[test]
    fn what_comes_after_a_stop_stays() {
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new(Text::Css, "/p", false);
        rewriter.write(b"url(/x)url(/", &mut out);
        rewriter.stop(&mut out);
        rewriter.write(b"y)url(/z)", &mut out);
        rewriter.end(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "url(/p/x)url(/p/y)url(/z)");
    }

    proptest! {
        /// Whatever it is, reading it a second time changes nothing, and neither does where it is cut.
        #[test]
        fn a_text_is_changed_once_however_it_comes(
            parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..30),
            cuts in prop::collection::vec(1_usize..9, 1..6),
            kind in 0..3,
        ) {
            let text = [Text::Html, Text::Css, Text::Manifest][kind as usize];
            let whole: Vec<u8> = parts.concat();
            let once = rewritten(text, &whole, &[usize::MAX]);
            prop_assert_eq!(rewritten(text, &whole, &cuts).escape_ascii().to_string(), once.escape_ascii().to_string());
            prop_assert_eq!(rewritten(text, &once, &cuts).escape_ascii().to_string(), once.escape_ascii().to_string());
        }
    }

    const PARTS: [&[u8]; 44] = [
        b"<a href=",
        b"/x",
        b"'/y'",
        b"\"/p/z\"",
        b"/p",
        b"//h",
        b">",
        b"</a>",
        b"<head>",
        b"</head>",
        b"<base ",
        b"<body>",
        b"<script>",
        b"</script>",
        b"<!--",
        b"-->",
        b"<meta ",
        b"http-equiv=refresh content='1;url=/r'",
        b"charset=utf-8",
        b"<title>",
        b"</title>",
        b" srcset='/a 1x,/b'",
        b"<link rel=stylesheet integrity=x ",
        b"'",
        b"\"",
        b" ",
        b"\n",
        b"<",
        b"&quot;",
        b"\\",
        b"url(",
        b")",
        b"@import ",
        b"/*",
        b"*/",
        b";",
        b"{",
        b"}",
        b"{\"scope\":\"/\"}",
        b"{\"start_url\":",
        b"\xff",
        b"\xe4\xbd\xa0",
        b"#",
        b"<svg><use xlink:href=/s />",
    ];

    fn rewritten(text: Text, mut whole: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new(text, "/p", true);
        for cut in cuts.iter().cycle() {
            let (piece, rest) = whole.split_at((*cut).min(whole.len()));
            rewriter.write(piece, &mut out);
            whole = rest;
            if whole.is_empty() {
                break;
            }
        }
        rewriter.end(&mut out);
        out
    }
}
