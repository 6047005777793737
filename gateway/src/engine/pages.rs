//! The gateway's own answers: they name no tenant, no address and no port.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::awake::page::Page;
use super::body::Answer;
use crate::decision::Refusal;
use crate::headers::names;
use crate::health::State;
use crate::route::Table;

const HTML: &str = "text/html; charset=utf-8";
const NO_SCRIPTS: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// A trouble that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) status: StatusCode,
    /// Stable word for programs.
    pub(crate) code: &'static str,
    /// Sentence for people.
    pub(crate) text: &'static str,
    /// Seconds until it makes sense to come again; zero where it is not a question of time.
    pub(crate) after: u32,
}

impl Trouble {
    /// What a refusal is to whoever asked.
    pub(crate) fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadRequest => Self::BAD_REQUEST,
            Refusal::NotFound => Self::NOT_FOUND,
            Refusal::Gone => Self::GONE,
            Refusal::MethodNotAllowed => Self::METHOD,
            Refusal::TargetTooLong => Self::TARGET_TOO_LONG,
            Refusal::Misdirected => Self::MISDIRECTED,
            Refusal::ForeignOrigin => Self::ORIGIN,
            Refusal::ForeignPage => Self::FOREIGN_PAGE,
        }
    }

    /// The same, with a longer wait.
    pub(crate) fn after(self, seconds: u32) -> Self {
        Self { after: self.after.max(seconds), ..self }
    }
}

/// How an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
}

impl Form {
    /// JSON for an API and for who prefers it. `path` is the outside one: an instance's API lies below
    /// its prefix.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        if wants_json(path, headers) { Self::Json } else { Self::Html }
    }
}

macro_rules! troubles {
    ($($name:ident = $status:ident, $code:literal, $text:literal $(, after $after:literal)?;)*) => {
        impl Trouble {
            $(pub(crate) const $name: Self =
                Self { status: StatusCode::$status, code: $code, text: $text, after: 0 $(+ $after)? };)*
        }
    };
}

troubles! {
    BAD_REQUEST = BAD_REQUEST, "bad_request", "This request cannot be understood.";
    NOT_FOUND = NOT_FOUND, "not_found", "There is nothing at this address.";
    GONE = GONE, "gone", "This place was removed.";
    METHOD = METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not available here.";
    CLIENT_TIMED_OUT = REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time.";
    TOO_LARGE = PAYLOAD_TOO_LARGE, "too_large", "This upload is larger than allowed.";
    TARGET_TOO_LONG = URI_TOO_LONG, "address_too_long", "This address is too long.";
    MISDIRECTED = MISDIRECTED_REQUEST, "misdirected", "This host is not served here.";
    UPGRADE_WITH_BODY = UPGRADE_REQUIRED, "upgrade_with_body", "A request that opens a socket has no body.";
    FOREIGN_PAGE = FORBIDDEN, "page_not_allowed", "This page may not change anything here.";
    ORIGIN = FORBIDDEN, "origin_not_allowed", "This page may not open a connection here.";
    DEFECT = INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here. Please try again.";
    UNREACHABLE = BAD_GATEWAY, "unreachable", "This place does not answer at the moment. Please try again soon.", after 2;
    BROKEN = BAD_GATEWAY, "broken_answer", "The answer broke off. Please try again.", after 2;
    TIMED_OUT = GATEWAY_TIMEOUT, "timed_out", "The answer took too long. Please try again.", after 2;
    TOO_MANY = TOO_MANY_REQUESTS, "too_many_requests", "That was too often. Please wait a moment.", after 1;
    MISMATCH = BAD_GATEWAY, "wrong_instance", "This place does not answer at the moment. Please try again soon.", after 5;
    ASLEEP = SERVICE_UNAVAILABLE, "asleep", "This place is asleep. It wakes up when you open it with your link.", after 60;
    NOT_AWAKE = SERVICE_UNAVAILABLE, "waking", "This place is waking up. Please try again in a moment.", after 2;
    BUSY = SERVICE_UNAVAILABLE, "busy", "There is too much to do here at the moment. Please try again soon.", after 2;
}

/// Answers with a trouble: JSON for programs, a small page for people.
pub(crate) fn trouble(trouble: Trouble, form: Form, request_id: &HeaderValue) -> Response<Answer> {
    let id = request_id.to_str().unwrap_or_default();
    let mut response = if form == Form::Json {
        let body = serde_json::json!({ "error": trouble.code, "requestId": id });
        own(trouble.status, "application/json", body.to_string())
    } else {
        let note = format!("<p class=\"id\">{id}</p>");
        own(trouble.status, HTML, page(trouble.text, &note))
    };
    if trouble.after > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(trouble.after));
    }
    if trouble.status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    }
    response.headers_mut().insert(names::X_REQUEST_ID, request_id.clone());
    response
}

/// Answers the root: a page that is no product and, unless `table` is given, names nobody.
pub(crate) fn root(table: Option<&Table>) -> Response<Answer> {
    let mut links = String::new();
    for route in table.map_or(&[][..], Table::routes) {
        // Names are made of letters, digits and a few marks, so they need no escaping.
        links.push_str(&format!("<p><a href=\"{0}/\">{1}</a></p>", route.prefix, route.name));
    }
    own(
        StatusCode::OK,
        HTML,
        page("This is a private front door. Please use the link you were given.", &links),
    )
}

/// Answers with a page that stands in for an instance that sleeps.
pub(crate) fn instead(page: Page, request_id: &HeaderValue) -> Response<Answer> {
    page_of(page, StatusCode::SERVICE_UNAVAILABLE, request_id)
}

/// Answers with a page.
pub(crate) fn page_of(page: Page, status: StatusCode, request_id: &HeaderValue) -> Response<Answer> {
    let mut response = own(status, HTML, page.html);
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(page.policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if page.after > 0 {
        headers.insert(RETRY_AFTER, HeaderValue::from(page.after));
    }
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    headers.insert(names::X_REQUEST_ID, request_id.clone());
    response
}

/// Answers how an instance is.
pub(crate) fn ready(state: State) -> Response<Answer> {
    own(StatusCode::OK, "application/json", serde_json::json!({ "state": state.as_str() }).to_string())
}

/// Leads on.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response<Answer> {
    let mut response = own(status, HTML, String::new());
    // The target was a valid request target.
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Answers without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Answer> {
    own(status, HTML, String::new())
}

fn own(status: StatusCode, content_type: &'static str, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::from(Bytes::from(body)));
    *response.status_mut() = status;
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, NO_SCRIPTS),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn wants_json(path: &str, headers: &HeaderMap) -> bool {
    let below = path.get(1..).and_then(|path| path.find('/')).map_or("", |at| &path[at + 1..]);
    if path.starts_with("/api/") || below.starts_with("/api/") {
        return true;
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let at = |media| accept.find(media);
    match (at("application/json"), at("text/html")) {
        (Some(json), Some(html)) => json < html,
        (json, _) => json.is_some(),
    }
}

fn page(text: &str, more: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>RemoteLab</title><style>\
         body{{font:1.05rem/1.6 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;text-align:center}}\
         .id{{font-size:.75rem;opacity:.55}}</style></head>\
         <body><p>{text}</p>{more}</body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_one_status_and_one_word() {
        for refusal in Refusal::ALL {
            let trouble = Trouble::of(refusal);
            assert_eq!((trouble.status, trouble.code), (refusal.status(), refusal.code()));
        }
    }

    #[test]
    fn programs_get_json() {
        let asks = |path: &str, accept: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            wants_json(path, &headers)
        };
        assert!(asks("/api/x", None));
        assert!(asks("/trial1/api/x", Some("text/html")));
        assert!(asks("/x", Some("application/json, text/html")));
        assert!(!asks("/x", Some("text/html,application/json")));
        assert!(!asks("/trial1/x/api/", None));
        assert!(!asks("/", Some("*/*")));
    }
}
