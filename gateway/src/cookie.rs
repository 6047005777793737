//! Cookies on a shared origin: each instance sees its own, under the names that it gave them.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// How cookies of one prefix route are named and scoped outside.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// What outside names start with: `trial1__`.
    pub name_prefix: &'a str,
    /// The outside path: `/trial1`.
    pub path: &'a str,
    /// The outside scheme is https.
    pub secure: bool,
}

/// Names of cookies from before names carried a prefix.
const LEGACY: [&str; 2] = ["session_token", "visitor_session_token"];

/// Returns the `Cookie` header for the instance: its own cookies with the prefix taken off once.
///
/// With `legacy`, a request without any such cookie passes the owner's unprefixed login cookies.
#[must_use]
pub fn to_instance(headers: &HeaderMap, name_prefix: &str, legacy: bool) -> Option<HeaderValue> {
    collect(headers, |name| name.strip_prefix(name_prefix))
        .or_else(|| if legacy { collect(headers, legacy_login) } else { None })
}

fn legacy_login(name: &str) -> Option<&str> {
    LEGACY.contains(&name).then_some(name)
}

/// Joins the cookies that `rename` names.
fn collect(headers: &HeaderMap, rename: impl Fn(&str) -> Option<&str>) -> Option<HeaderValue> {
    let mut cookies = String::new();
    for (name, value) in headers
        .get_all(COOKIE)
        .iter()
        .filter_map(text)
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
        .filter_map(|(name, value)| Some((rename(name)?, value)))
        .filter(|(name, _)| !name.is_empty())
    {
        if !cookies.is_empty() {
            cookies.push_str("; ");
        }
        cookies.push_str(name);
        cookies.push('=');
        cookies.push_str(value);
    }
    // Made of parts of header values, so it is one.
    (!cookies.is_empty()).then(|| HeaderValue::try_from(cookies).ok()).flatten()
}

/// Maps one `Set-Cookie` of the instance to the outside; a malformed one is `None`.
///
/// The name gets the prefix, `Path` moves below the route, `Domain` goes, the rest stays in order. What says
/// nothing about other sites is not sent along with what they ask.
#[must_use]
pub fn from_instance(value: &HeaderValue, scope: Scope<'_>) -> Option<HeaderValue> {
    let text = text(value)?;
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let (name, content) = parts.next()?.split_once('=')?;
    let name = name.trim_matches([' ', '\t']);
    if name.is_empty() || name.contains([' ', '\t']) {
        return None;
    }
    let mut path = "/";
    let (mut secure, mut same_site) = (false, false);
    let mut kept = Vec::new();
    for attribute in parts.filter(|attribute| !attribute.is_empty()) {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let key = key.trim_matches([' ', '\t']);
        if key.eq_ignore_ascii_case("path") {
            path = value.trim_matches([' ', '\t']);
        } else if !key.eq_ignore_ascii_case("domain") {
            secure |= key.eq_ignore_ascii_case("secure");
            same_site |= key.eq_ignore_ascii_case("samesite");
            kept.push(attribute);
        }
    }
    // Browsers take a path that does not start with a slash for none.
    let below = if path.starts_with('/') { path.trim_end_matches('/') } else { "" };
    let mut cookie = String::with_capacity(text.len() + scope.name_prefix.len() + scope.path.len() + 24);
    for piece in [scope.name_prefix, name, "=", content, "; Path=", scope.path, below] {
        cookie.push_str(piece);
    }
    for attribute in kept {
        cookie.push_str("; ");
        cookie.push_str(attribute);
    }
    if !secure && (scope.secure || name.starts_with("__Host-") || name.starts_with("__Secure-")) {
        cookie.push_str("; Secure");
    }
    if !same_site {
        cookie.push_str("; SameSite=Lax");
    }
    HeaderValue::try_from(cookie).ok()
}

/// Cookies may hold bytes beyond ASCII; what is not UTF-8 is malformed.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRIAL4: Scope<'_> = Scope { name_prefix: "trial4__", path: "/trial4", secure: false };

    fn sent(headers: &[&str], prefix: &str, legacy: bool) -> Option<String> {
        let mut map = HeaderMap::new();
        for text in headers {
            map.append(COOKIE, text.parse().unwrap());
        }
        to_instance(&map, prefix, legacy).map(|value| value.to_str().unwrap().to_owned())
    }

    fn set(text: &str, scope: Scope<'_>) -> Option<String> {
        let value = from_instance(&text.parse().unwrap(), scope)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_instance_sees_its_own_cookies_only() {
        let all = "trial4__a=1; trial4__session_token=x=y; trial40__a=2; owner__session_token=O; session_token=S; trial4__trial4__b=3";
        assert_eq!(sent(&[all], "trial4__", false).as_deref(), Some("a=1; session_token=x=y; trial4__b=3"));
        assert_eq!(sent(&["trial4__a=1", "b=2;trial4__c=3"], "trial4__", false).as_deref(), Some("a=1; c=3"));
        assert_eq!(sent(&["trial4__=F; session_token=S; trial4__nothing"], "trial4__", false), None);
        assert_eq!(sent(&[], "trial4__", false), None);
    }

    #[test]
    fn unprefixed_owner_logins_pass_only_when_asked_for() {
        let old = "session_token=S; visitor_session_token=V; other=1";
        assert_eq!(
            sent(&[old], "owner__", true).as_deref(),
            Some("session_token=S; visitor_session_token=V")
        );
        assert_eq!(sent(&[old], "owner__", false), None);
        assert_eq!(sent(&["session_token=S; owner__a=1"], "owner__", true).as_deref(), Some("a=1"));
    }

    #[test]
    fn cookies_set_are_named_and_scoped() {
        let https = Scope { secure: true, ..TRIAL4 };
        for (upstream, outside) in [
            (
                "session_token=abc; HttpOnly; Secure; SameSite=Lax; Path=/; Max-Age=60",
                "trial4__session_token=abc; Path=/trial4; HttpOnly; Secure; SameSite=Lax; Max-Age=60",
            ),
            ("noattr=3", "trial4__noattr=3; Path=/trial4; SameSite=Lax"),
            ("d=2; Domain=example.net; Path=/", "trial4__d=2; Path=/trial4; SameSite=Lax"),
            ("__Host-x=1; Secure; Path=/", "trial4____Host-x=1; Path=/trial4; Secure; SameSite=Lax"),
            ("__Secure-x=1", "trial4____Secure-x=1; Path=/trial4; Secure; SameSite=Lax"),
            ("a=1; path=/x/;domain=.y", "trial4__a=1; Path=/trial4/x; SameSite=Lax"),
            ("x=1; samesite=None; Secure", "trial4__x=1; Path=/trial4; samesite=None; Secure"),
            ("a=; Path=x", "trial4__a=; Path=/trial4; SameSite=Lax"),
        ] {
            assert_eq!(set(upstream, TRIAL4).as_deref(), Some(outside));
        }
        assert_eq!(set("a=1", https).as_deref(), Some("trial4__a=1; Path=/trial4; Secure; SameSite=Lax"));
        for malformed in ["", "a", "=1", "a b=1", "; Path=/"] {
            assert_eq!(set(malformed, TRIAL4), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_set_comes_back(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", content in "[ -:<-~&&[^,\\\\\"]]{0,20}") {
            let content = content.trim();
            let outside = set(&format!("{name}={content}"), TRIAL4).unwrap();
            let pair = outside.split(';').next().unwrap().to_owned();
            let expected = format!("{name}={content}");
            prop_assert_eq!(sent(&[&pair], "trial4__", false), Some(expected));
            prop_assert_eq!(sent(&[&pair], "trial40__", false), None);
        }

        #[test]
        fn what_one_sets_no_other_gets(
            setter in "[a-z0-9-]{1,4}",
            other in "[a-z0-9-]{1,4}",
            name in "[a-z_]{1,8}",
        ) {
            prop_assume!(setter != other);
            let name_prefix = format!("{setter}__");
            let outside = set(&format!("{name}=1"), Scope { name_prefix: &name_prefix, ..TRIAL4 }).unwrap();
            let pair = outside.split(';').next().unwrap();
            prop_assert_eq!(sent(&[pair], &format!("{other}__"), true), None);
        }

        #[test]
        fn nothing_of_others_passes(text in "[ -~]{0,60}") {
            let Some(passed) = sent(&[&text], "t__", false) else { return Ok(()) };
            for pair in passed.split("; ") {
                let outside = format!("t__{pair}");
                prop_assert!(text.contains(&outside));
            }
        }
    }
}
