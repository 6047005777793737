//! The login cookies.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// The owner's login.
pub(crate) const OWNER: &str = "session_token";
/// A visitor's login.
pub(crate) const VISITOR: &str = "visitor_session_token";

/// Returns a cookie's value from a `Cookie` header.
pub(crate) fn find<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// Writes a `Set-Cookie` value. `SameSite` is `Lax`, so that links opened from elsewhere are signed in.
pub(crate) fn set(name: &str, value: &str, max_age: Duration, secure: bool) -> String {
    let expires = Timestamp::now().checked_add(max_age).unwrap_or(Timestamp::MAX);
    write(name, value, max_age.as_secs(), expires, secure)
}

/// Writes a `Set-Cookie` value that removes a cookie.
pub(crate) fn clear(name: &str, secure: bool) -> String {
    write(name, "", 0, Timestamp::UNIX_EPOCH, secure)
}

fn write(name: &str, value: &str, max_age: u64, expires: Timestamp, secure: bool) -> String {
    let secure = if secure { "Secure; " } else { "" };
    let expires = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&expires).unwrap_or_default();
    format!("{name}={value}; HttpOnly; {secure}SameSite=Lax; Path=/; Max-Age={max_age}; Expires={expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_cookie_by_its_whole_name() {
        let header = "a=1; session_token=x=y; visitor_session_token=v; empty=";
        assert_eq!(find(header, OWNER), Some("x=y"));
        assert_eq!(find(header, VISITOR), Some("v"));
        assert_eq!(find(header, "empty"), None);
        assert_eq!(find("xsession_token=1", OWNER), None);
    }

    #[test]
    fn writes_the_documented_attributes() {
        assert_eq!(
            clear(OWNER, true),
            "session_token=; HttpOnly; Secure; SameSite=Lax; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert!(
            set(OWNER, "ab", Duration::from_hours(24), false)
                .starts_with("session_token=ab; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400; Expires=")
        );
    }
}
