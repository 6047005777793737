//! The head of an HTTP/2 request, brought to the one shape that everything else knows.

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Uri, Version, request};

/// Moves the authority into `Host` and joins cookies that came in pieces (RFC 9113 §8.2.3, §8.3.1). A head
/// whose two words about its host differ loses both and is refused like one without.
pub fn settle(head: &mut request::Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    if let Some(authority) = head.uri.authority() {
        let differs = head.headers.get_all(HOST).iter().any(|host| host != authority.as_str());
        let host = HeaderValue::from_str(authority.as_str()).ok().filter(|_| !differs);
        match host {
            Some(host) => head.headers.insert(HOST, host),
            None => head.headers.remove(HOST),
        };
    }
    // What is no path, as that of `CONNECT`, is refused as it is.
    if let Some(path) = head.uri.path_and_query().filter(|_| head.uri.authority().is_some()) {
        head.uri = Uri::from(path.clone());
    }
    join_cookies(&mut head.headers);
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn settled(uri: &str, headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut request = Request::builder().version(Version::HTTP_2).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        settle(&mut head);
        let line =
            |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        (head.uri.to_string(), head.headers.iter().map(line).collect())
    }

    #[test]
    fn the_authority_is_the_host_and_cookies_are_whole() {
        let expected = |uri: &str, headers: &[&str]| {
            (uri.to_owned(), headers.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(settled("https://h:1/a?b", &[]), expected("/a?b", &["host: h:1"]));
        assert_eq!(settled("https://h/", &[("host", "h")]), expected("/", &["host: h"]));
        assert_eq!(settled("https://h/", &[("host", "other")]), expected("/", &[]));
        assert_eq!(settled("/a", &[("host", "h")]), expected("/a", &["host: h"]));
        let crumbs = [("host", "h"), ("cookie", "a=1"), ("cookie", "b=2; c=3")];
        assert_eq!(settled("/", &crumbs), expected("/", &["host: h", "cookie: a=1; b=2; c=3"]));
    }
}
