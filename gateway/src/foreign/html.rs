//! Pages: the addresses in their attributes. Text and scripts are nobody's business here.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use encoding_rs::WINDOWS_1252;
use lol_html::html_content::ContentType;
use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, OutputSink};

use super::{address, is_like_ascii};

/// What a page may keep waiting: one tag, and how deep it is nested.
const MEMORY: usize = 64 * 1024;

type Element<'e, 't> = lol_html::send::Element<'e, 't>;

/// A page on its way.
pub(super) struct Rewriter {
    /// `None` once nothing can be read any more.
    parser: Option<HtmlRewriter<'static, Sink>>,
    sink: Sink,
}

impl Rewriter {
    pub(super) fn new(prefix: &str, base: bool) -> Self {
        let page = Arc::new(Page {
            prefix: prefix.to_owned(),
            base: AtomicU8::new(if base { Base::Unseen } else { Base::Done } as u8),
            stopped: AtomicBool::new(false),
        });
        // Each byte is a letter of this charset and comes out as it went in, whatever it means to the page.
        let encoding = AsciiCompatibleEncoding::new(WINDOWS_1252).expect("it is like ASCII");
        let memory = MemorySettings::new()
            .with_max_allowed_memory_usage(MEMORY)
            .with_graceful_bail_out_on_memory_limit_exceeded(true);
        let every = "*".parse().expect("a selector");
        let handler = ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
            page.element(element);
            Ok(())
        });
        let settings = Settings::new_send()
            .with_encoding(encoding)
            .with_memory_settings(memory)
            .with_strict(false)
            .append_element_content_handler((std::borrow::Cow::Owned(every), handler));
        let sink = Sink::default();
        Self { parser: Some(HtmlRewriter::new(settings, sink.clone())), sink }
    }

    pub(super) fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(parser) = &mut self.parser else {
            out.extend_from_slice(piece);
            return;
        };
        // What was held is passed on as it is when it grows too long.
        if parser.write(piece).is_err() {
            self.parser = None;
        }
        self.sink.drain(out);
    }

    pub(super) fn end(mut self, out: &mut Vec<u8>) {
        if let Some(parser) = self.parser.take() {
            // It may fail for want of memory alone, and then has passed on everything.
            let _ = parser.end();
        }
        self.sink.drain(out);
    }
}

/// What came out and was not yet taken.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn drain(&self, out: &mut Vec<u8>) {
        out.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk);
    }
}

/// What is known of a page while it is read.
struct Page {
    prefix: String,
    base: AtomicU8,
    /// It turned out to be in a charset that hides what it says.
    stopped: AtomicBool,
}

/// How far the base address of a page is.
#[derive(Clone, Copy)]
enum Base {
    /// There was no head yet.
    Unseen,
    /// It goes before the first element that may use it, unless the page has its own.
    Wanted,
    Done,
}

impl Page {
    fn element(self: &Arc<Self>, element: &mut Element<'_, '_>) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let name = element.tag_name();
        self.put_base(&name, element);
        if name == "meta" {
            self.meta(element);
            return;
        }
        for (key, value) in self.changed(&name, element) {
            // The name was read from the element.
            let _ = element.set_attribute(&key, &value);
        }
        if name == "link" && is_changed_sheet(element) {
            element.remove_attribute("integrity");
        }
    }

    /// The addresses of an element that need the prefix.
    fn changed(&self, name: &str, element: &Element<'_, '_>) -> Vec<(String, String)> {
        let changed = |key: String, value: String| {
            let below = match key.as_str() {
                "href" | "src" | "action" | "formaction" | "poster" | "xlink:href" => {
                    address::below(&value, &self.prefix)
                }
                "data" if name == "object" => address::below(&value, &self.prefix),
                "srcset" => address::srcset_below(&value, &self.prefix),
                _ => None,
            };
            below.map(|below| (key, below))
        };
        let attributes = element.attributes().iter();
        attributes.filter_map(|attribute| changed(attribute.name(), attribute.value())).collect()
    }

    fn meta(&self, element: &mut Element<'_, '_>) {
        let content = element.get_attribute("content").unwrap_or_default();
        let equivalent = element.get_attribute("http-equiv").unwrap_or_default();
        let named =
            content.split_once("charset=").filter(|_| equivalent.eq_ignore_ascii_case("content-type"));
        let charset = element.get_attribute("charset").or_else(|| Some(named?.1.to_owned()));
        // Of a page that is read as far as here, browsers take UTF-16 for UTF-8.
        let is_hidden =
            |charset: &String| !charset.to_ascii_lowercase().starts_with("utf") && !is_like_ascii(charset);
        if charset.is_some_and(|charset| is_hidden(&charset)) {
            self.stopped.store(true, Ordering::Relaxed);
        } else if equivalent.eq_ignore_ascii_case("refresh")
            && let Some(below) = address::refresh_below(&content, &self.prefix)
        {
            let _ = element.set_attribute("content", &below);
        }
    }

    fn put_base(self: &Arc<Self>, name: &str, element: &mut Element<'_, '_>) {
        let base = self.base.load(Ordering::Relaxed);
        if base == Base::Unseen as u8 && name == "head" {
            self.base.store(Base::Wanted as u8, Ordering::Relaxed);
            let page = Arc::clone(self);
            // An element that is never closed has no such handlers.
            if let Some(handlers) = element.end_tag_handlers() {
                handlers.push(Box::new(move |end| {
                    if page.takes_base() {
                        end.before(&page.base_element(), ContentType::Html);
                    }
                    Ok(())
                }));
            }
        } else if base == Base::Wanted as u8 && !matches!(name, "meta" | "title") {
            let is_own = name == "base" && element.has_attribute("href");
            if self.takes_base() && !is_own {
                element.before(&self.base_element(), ContentType::Html);
            }
        }
    }

    fn takes_base(&self) -> bool {
        self.base.swap(Base::Done as u8, Ordering::Relaxed) == Base::Wanted as u8
    }

    fn base_element(&self) -> String {
        format!("<base href=\"{}/\">", self.prefix)
    }
}

/// A style sheet of its own comes out as another one, whatever it was to be.
fn is_changed_sheet(element: &Element<'_, '_>) -> bool {
    let is_sheet =
        |rel: String| rel.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("stylesheet"));
    let is_elsewhere = |href: String| href.contains("://") || href.trim_start().starts_with("//");
    element.has_attribute("integrity")
        && element.get_attribute("rel").is_some_and(is_sheet)
        && !element.get_attribute("href").is_none_or(is_elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(page: &[u8], base: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new("/p", base);
        rewriter.write(page, &mut out);
        rewriter.end(&mut out);
        out
    }

    fn all(base: bool, pairs: &[(&str, &str)]) {
        for (given, wanted) in pairs {
            let once = rewritten(given.as_bytes(), base);
            assert_eq!(String::from_utf8_lossy(&once), *wanted, "{given}");
            assert_eq!(rewritten(&once, base), once, "{given} twice");
        }
    }

    #[test]
    fn addresses_in_attributes_get_the_prefix_and_nothing_else_does() {
        all(
            false,
            &[
                ("<a href=/x>/x</a>", "<a href=\"/p/x\">/x</a>"),
                ("<A HREF='/a\"b&amp;c' id=/x>", "<A HREF=\"/p/a&quot;b&amp;c\" id=/x>"),
                (
                    "<img src=\"/a\" srcset=\"/a 1x, b 2x\" data-src=\"/c\">",
                    "<img src=\"/p/a\" srcset=\"/p/a 1x, b 2x\" data-src=\"/c\">",
                ),
                (
                    "<form action=/f><button formaction=/g>",
                    "<form action=\"/p/f\"><button formaction=\"/p/g\">",
                ),
                (
                    "<object data=/o><video poster=/v><i data=/n>",
                    "<object data=\"/p/o\"><video poster=\"/p/v\"><i data=/n>",
                ),
                (
                    "<meta http-equiv=Refresh content='5; url=/x'>",
                    "<meta http-equiv=Refresh content=\"5; url=/p/x\">",
                ),
                ("<meta name=x content='5; url=/x'>", "<meta name=x content='5; url=/x'>"),
                (
                    "<a href=//cdn/x><a href=https://h/x><a href=x><a href>",
                    "<a href=//cdn/x><a href=https://h/x><a href=x><a href>",
                ),
                ("<a href='/p/x'  ><br / >", "<a href='/p/x'  ><br / >"),
                ("<script>x = '<a href=\"/x\">'</script>", "<script>x = '<a href=\"/x\">'</script>"),
                (
                    "<!-- <a href=/x> --><textarea><a href=/x></textarea>",
                    "<!-- <a href=/x> --><textarea><a href=/x></textarea>",
                ),
                (
                    "<style>a{b:url(/x)}</style><b style='c:url(/x)'>",
                    "<style>a{b:url(/x)}</style><b style='c:url(/x)'>",
                ),
                ("<svg><use xlink:href=/s#a /></svg>", "<svg><use xlink:href=\"/p/s#a\" /></svg>"),
                ("<link rel=stylesheet href=/x integrity=sha>", "<link rel=stylesheet href=\"/p/x\">"),
                (
                    "<link rel=stylesheet href=//h/x integrity=sha>",
                    "<link rel=stylesheet href=//h/x integrity=sha>",
                ),
                ("<script src=/x integrity=sha>", "<script src=\"/p/x\" integrity=sha>"),
                ("<select><xmp><a href=/x></xmp><a href=", "<select><xmp><a href=/x></xmp><a href="),
            ],
        );
    }

    #[test]
    fn a_page_is_told_its_prefix_unless_it_knows_better() {
        let base = "<base href=\"/p/\">";
        all(
            true,
            &[
                ("<HEAD lang=en><link href=/x>", &format!("<HEAD lang=en>{base}<link href=\"/p/x\">")),
                (
                    "<head><meta charset=utf-8><title>t</title></head>",
                    &format!("<head><meta charset=utf-8><title>t</title>{base}</head>"),
                ),
                (
                    "<head><meta charset=utf-8><body><head>",
                    &format!("<head><meta charset=utf-8>{base}<body><head>"),
                ),
                ("<head><base href=/app/><link>", "<head><base href=\"/p/app/\"><link>"),
                ("<head><base target=_top></head>", &format!("<head>{base}<base target=_top></head>")),
                ("<header></header><!--<head>--><p>", "<header></header><!--<head>--><p>"),
            ],
        );
        all(false, &[("<head></head>", "<head></head>")]);
    }

    #[test]
    fn bytes_of_other_charsets_stay() {
        let mut page = b"<p>".to_vec();
        page.extend(0x80..=0xff);
        page.extend(b"</p><a title='");
        page.extend(0x80..=0xff);
        let end = b"' href=/x>";
        let wanted = [&page[..], b"' href=\"/p/x\">"].concat();
        page.extend(end);
        assert_eq!(rewritten(&page, true), wanted);
        let hidden = "<meta http-equiv=content-type content='text/html; charset=ISO-2022-JP'><a href=/x>";
        assert_eq!(rewritten(hidden.as_bytes(), true), hidden.as_bytes());
    }

    #[test]
    fn a_tag_that_is_too_long_ends_the_reading_and_nothing_is_lost() {
        let long = format!("<a href=/x><img src='data:,{}'><a href=/y>", "x".repeat(2 * MEMORY));
        let mut out = Vec::new();
        let mut rewriter = Rewriter::new("/p", false);
        for piece in long.as_bytes().chunks(4096) {
            rewriter.write(piece, &mut out);
            assert!(rewriter.sink.0.lock().unwrap().capacity() < 2 * MEMORY);
        }
        rewriter.end(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), long.replace("href=/x", "href=\"/p/x\""));
    }
}
