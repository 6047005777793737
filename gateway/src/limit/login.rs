//! Which requests try to sign in, and which answers say that it failed.

use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};

/// Names of the cookies that a sign-in sets.
const LOGINS: [&str; 2] = ["session_token", "visitor_session_token"];

/// Tells whether a request, as the instance sees it, carries something to sign in with.
#[must_use]
pub fn is_attempt(method: &Method, target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (*method == Method::POST && path.trim_end_matches('/') == "/login")
        || (!query.is_empty() && query.split('&').any(|pair| pair.starts_with("token=")))
}

/// Tells whether an instance's answer to such a request refuses it. An answer that is neither, such as a
/// 500, is nobody's failure.
#[must_use]
pub fn has_failed(status: StatusCode, headers: &HeaderMap) -> bool {
    if headers.get_all(SET_COOKIE).iter().any(|cookie| is_login(cookie.as_bytes())) {
        return false;
    }
    let leads_back = || {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        location.split('?').next().is_some_and(|path| path == "login" || path.ends_with("/login"))
    };
    status == StatusCode::UNAUTHORIZED
        || status == StatusCode::FORBIDDEN
        || (status.is_redirection() && leads_back())
}

/// Tells whether an instance calls its login so.
#[must_use]
pub fn is_cookie(name: &str) -> bool {
    LOGINS.contains(&name)
}

fn is_login(cookie: &[u8]) -> bool {
    let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default();
    std::str::from_utf8(name.trim_ascii()).is_ok_and(is_cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_told_from_other_requests() {
        for (method, target, attempt) in [
            (Method::POST, "/login", true),
            (Method::POST, "/login/?next=%2F", true),
            (Method::GET, "/login", false),
            (Method::GET, "/?token=ab", true),
            (Method::GET, "/s/1?a=1&token=", true),
            (Method::GET, "/?tokens=1", false),
            (Method::POST, "/api/login", false),
        ] {
            assert_eq!(is_attempt(&method, target), attempt, "{method} {target}");
        }
    }

    #[test]
    fn failures_are_told_from_other_answers() {
        for (status, headers, failed) in [
            (302, &[("location", "/login?error=1&mode=token")][..], true),
            (302, &[("location", "/")], false),
            (302, &[("location", "/"), ("set-cookie", "session_token=a; Path=/")], false),
            (302, &[("location", "/login"), ("set-cookie", "visitor_session_token=a")], false),
            (302, &[("location", "/login?error=1"), ("set-cookie", "lang=en")], true),
            (401, &[], true),
            (403, &[], true),
            (200, &[], false),
            (429, &[], false),
            (502, &[], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(
                has_failed(StatusCode::from_u16(status).unwrap(), &map),
                failed,
                "{status} {headers:?}"
            );
        }
    }
}
