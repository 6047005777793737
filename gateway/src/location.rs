//! Addresses in response headers, seen from outside the prefix.

use std::borrow::Cow;

use crate::host::Host;

/// Where an answer comes from and how it is reached from outside.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// `/trial1` on prefix routes, empty on host routes.
    pub prefix: &'a str,
    /// The instance said that its paths are its own, never already prefixed.
    pub native: bool,
    /// The instance's own authority: `127.0.0.1:7696`.
    pub upstream: &'a str,
    /// The authority that the client asked.
    pub outside: Option<&'a str>,
}

/// Maps one URL reference: `Location`, `Content-Location`.
#[must_use]
pub fn map<'a>(reference: &'a str, frame: Frame<'_>) -> Cow<'a, str> {
    if reference.starts_with('/') {
        return path(reference, frame);
    }
    match own_path(reference, frame) {
        Some("") => Cow::Owned(format!("{}/", frame.prefix)),
        // A path that begins like an authority must not become one.
        Some(rest) if rest.starts_with("//") => Cow::Owned(format!("{}/.{rest}", frame.prefix)),
        Some(rest) if rest.starts_with('/') => Cow::Owned(path(rest, frame).into_owned()),
        Some(query) => Cow::Owned(format!("{}/{query}", frame.prefix)),
        None => Cow::Borrowed(reference),
    }
}

/// Maps a `Refresh` header: `5; url=/next`.
#[must_use]
pub fn map_refresh<'a>(value: &'a str, frame: Frame<'_>) -> Cow<'a, str> {
    let Some((delay, rest)) = value.split_once([';', ',']) else {
        return Cow::Borrowed(value);
    };
    let rest = rest.trim_start();
    let url = match rest.get(..4) {
        Some(key) if key.eq_ignore_ascii_case("url=") => &rest[4..],
        _ => rest,
    };
    let url = url.trim_matches(['"', '\'', ' ']);
    Cow::Owned(format!("{delay}; url={}", map(url, frame)))
}

/// Maps each `<target>` of a `Link` header.
#[must_use]
pub fn map_link<'a>(value: &'a str, frame: Frame<'_>) -> Cow<'a, str> {
    let mut mapped = String::with_capacity(value.len() + frame.prefix.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else {
            break;
        };
        mapped.push_str(before);
        mapped.push('<');
        mapped.push_str(&map(target, frame));
        mapped.push('>');
        rest = after;
    }
    mapped.push_str(rest);
    if mapped == value { Cow::Borrowed(value) } else { Cow::Owned(mapped) }
}

fn path<'a>(path: &'a str, frame: Frame<'_>) -> Cow<'a, str> {
    if frame.prefix.is_empty() || (!frame.native && is_below(path, frame.prefix)) {
        return Cow::Borrowed(path);
    }
    // Browsers read a backslash as a slash: `/\host` would leave the site as `//host` does. Behind a
    // prefix both are harmless.
    Cow::Owned(format!("{}{path}", frame.prefix))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// The path of an absolute URL whose authority is the instance's own, inside or outside.
fn own_path<'a>(reference: &'a str, frame: Frame<'_>) -> Option<&'a str> {
    let (scheme, rest) = reference.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let authority = Host::parse(authority)?;
    let is = |own: &str| Host::parse(own).is_some_and(|own| own.same_as(&authority));
    (is(frame.upstream) || (!frame.prefix.is_empty() && frame.outside.is_some_and(is))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRIAL4: Frame<'_> = Frame {
        prefix: "/trial4",
        native: false,
        upstream: "127.0.0.1:7901",
        outside: Some("bridge.example"),
    };

    #[test]
    fn every_row_of_the_table() {
        for (upstream, outside) in [
            ("/login", "/trial4/login"),
            ("/trial4/y", "/trial4/y"),
            ("/trial4", "/trial4"),
            ("/trial4?a", "/trial4?a"),
            ("/trial40/x", "/trial4/trial40/x"),
            ("//evil.com/x", "/trial4//evil.com/x"),
            ("https://evil.com/x", "https://evil.com/x"),
            ("http://127.0.0.1:7901/login", "/trial4/login"),
            ("http://127.0.0.1:7901", "/trial4/"),
            ("http://127.0.0.1:7901?a=1", "/trial4/?a=1"),
            ("http://127.0.0.1:7902/login", "http://127.0.0.1:7902/login"),
            ("https://bridge.example/login", "/trial4/login"),
            ("https://bridge.example:443/login", "/trial4/login"),
            ("https://bridge.example@evil.com/x", "https://bridge.example@evil.com/x"),
            ("login", "login"),
            ("?a=1", "?a=1"),
            ("../x", "../x"),
            ("", ""),
        ] {
            assert_eq!(map(upstream, TRIAL4), outside, "{upstream}");
        }
    }

    #[test]
    fn a_native_instance_may_bear_the_name_of_one_of_its_paths() {
        let m = Frame { prefix: "/m", native: true, ..TRIAL4 };
        assert_eq!(map("/m/install", m), "/m/m/install");
        assert_eq!(map("/", m), "/m/");
    }

    #[test]
    fn host_routes_hide_the_inner_address_and_nothing_else() {
        let host = Frame { prefix: "", outside: Some("trial4.example.com"), ..TRIAL4 };
        assert_eq!(map("http://127.0.0.1:7901/login", host), "/login");
        assert_eq!(map("http://127.0.0.1:7901//evil.com", host), "/.//evil.com");
        assert_eq!(map("/login", host), "/login");
        assert_eq!(map("https://trial4.example.com/x", host), "https://trial4.example.com/x");
    }

    #[test]
    fn refresh_and_link_are_mapped_by_target() {
        assert_eq!(map_refresh("5", TRIAL4), "5");
        assert_eq!(map_refresh("0; URL='/x'", TRIAL4), "0; url=/trial4/x");
        assert_eq!(
            map_link("</a.css>; rel=preload, <https://cdn.example/x>; rel=dns-prefetch", TRIAL4),
            "</trial4/a.css>; rel=preload, <https://cdn.example/x>; rel=dns-prefetch"
        );
        assert_eq!(map_link("broken <", TRIAL4), "broken <");
    }

    proptest! {
        #[test]
        fn paths_stay_below_the_prefix(reference in "/[ -~]{0,30}") {
            let mapped = map(&reference, TRIAL4);
            prop_assert!(is_below(&mapped, "/trial4"));
        }

        /// What is below the prefix already is the same place under both of its names.
        #[test]
        fn other_paths_unmap(reference in "(/trial4|/trial|)[/x?#.][ -~]{0,20}") {
            let path = if reference.starts_with('/') { reference } else { format!("/{reference}") };
            let mapped = map(&path, TRIAL4);
            if is_below(&path, "/trial4") {
                prop_assert_eq!(&*mapped, &*path);
            } else {
                prop_assert_eq!(mapped.strip_prefix("/trial4"), Some(path.as_str()));
            }
            let absolute = format!("http://127.0.0.1:7901{path}");
            if !path.starts_with("//") {
                prop_assert_eq!(map(&absolute, TRIAL4), mapped);
            }
        }

        #[test]
        fn native_paths_unmap(reference in "/[ -~]{0,30}") {
            let mapped = map(&reference, Frame { native: true, ..TRIAL4 });
            prop_assert_eq!(mapped.strip_prefix("/trial4"), Some(reference.as_str()));
        }
    }
}
