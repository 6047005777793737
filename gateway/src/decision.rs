//! What becomes of a request: one function, used for real requests and for explaining them.

use http::header::{HOST, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::host::Host;
use crate::listener::{Listener, Mode};
use crate::route::Table;
use crate::target::Target;
use crate::{guard, last_prefix, websocket};

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Pass it to an instance.
    Forward {
        /// Index of the route in the table.
        route: usize,
        /// Path and query as the instance sees them.
        target: String,
        /// Reached by prefix, so on an origin that others share.
        shared: bool,
    },
    /// Answer it here.
    Answer(Own),
}

/// What the gateway answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// 308 to this path.
    Redirect(String),
    /// 302 to this path: where the browser was last.
    Home(String),
    /// The root page.
    Root,
    /// What `OPTIONS *` asks for.
    Options,
    /// An error.
    Refuse(Refusal),
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is malformed or ambiguous.
    BadRequest,
    /// Nothing of that name is here.
    NotFound,
    /// What had that name was removed not long ago.
    Gone,
    /// `CONNECT` and `TRACE` are not for front doors.
    MethodNotAllowed,
    /// The path and query are too long.
    TargetTooLong,
    /// The host is not served here.
    Misdirected,
    /// A page of another origin opens a WebSocket.
    ForeignOrigin,
    /// A page of another tenant wants to change something.
    ForeignPage,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::NotFound,
        Self::Gone,
        Self::MethodNotAllowed,
        Self::TargetTooLong,
        Self::Misdirected,
        Self::ForeignOrigin,
        Self::ForeignPage,
    ];

    /// Its stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TargetTooLong => "address_too_long",
            Self::Misdirected => "misdirected",
            Self::ForeignOrigin => "origin_not_allowed",
            Self::ForeignPage => "page_not_allowed",
        }
    }

    /// Returns the status to answer with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::ForeignPage => StatusCode::FORBIDDEN,
        }
    }
}

/// Decides about one request. Looks at nothing but its arguments; cost does not depend on the table's size.
#[must_use]
pub fn decide(
    listener: &Listener,
    table: &Table,
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Decision {
    try_decide(listener, table, method, uri, version, headers)
        .unwrap_or_else(|refusal| Decision::Answer(Own::Refuse(refusal)))
}

fn try_decide(
    listener: &Listener,
    table: &Table,
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<Decision, Refusal> {
    let host = host(version, headers)?;
    if uri.path() == "*" && method == Method::OPTIONS {
        return Ok(Decision::Answer(Own::Options));
    }
    let target = Target::parse(method, uri, host.as_ref())?;
    let decision = match choose(listener, table, host.as_ref())? {
        Chosen::Host(route) => Decision::Forward { route, target: target.without(0), shared: false },
        Chosen::Prefix => by_prefix(listener, table, method, headers, target)?,
    };
    if let Decision::Forward { route, shared, .. } = decision {
        let own = &table.routes()[route].name;
        if shared && !guard::may_pass(listener.referer_guard, own, table, method, headers, host.as_ref()) {
            return Err(Refusal::ForeignPage);
        }
        let is_socket = || websocket::expected_accept(method, version, headers).is_some();
        if headers.contains_key(UPGRADE)
            && is_socket()
            && !websocket::is_own_origin(headers, host.as_ref(), listener)
        {
            return Err(Refusal::ForeignOrigin);
        }
    }
    Ok(decision)
}

enum Chosen {
    Host(usize),
    Prefix,
}

/// Exact host names first, then labels of configured domains, then the path; never a default instance.
fn choose(listener: &Listener, table: &Table, host: Option<&Host<'_>>) -> Result<Chosen, Refusal> {
    let prefix_allowed = listener.mode != Mode::Host;
    let Some(host) = host else {
        return if prefix_allowed { Ok(Chosen::Prefix) } else { Err(Refusal::Misdirected) };
    };
    let name = host.name.as_ref();
    if listener.mode != Mode::Prefix {
        if let Some(route) = table.by_host(name) {
            return Ok(Chosen::Host(route));
        }
        if let Some(label) = label_below(name, &listener.domains) {
            let served_by_prefix = prefix_allowed && listener.hosts.iter().any(|host| host == name);
            if !served_by_prefix {
                return table.by_prefix(label).map(Chosen::Host).ok_or_else(|| absent(table, label));
            }
        }
        if table.gone().hosts.contains(name) {
            return Err(Refusal::Gone);
        }
    }
    let restricted = !(listener.hosts.is_empty() && listener.domains.is_empty());
    let served = !restricted || host.is_machine() || listener.hosts.iter().any(|host| host == name);
    if prefix_allowed && served { Ok(Chosen::Prefix) } else { Err(Refusal::Misdirected) }
}

fn label_below<'h>(name: &'h str, domains: &[String]) -> Option<&'h str> {
    domains.iter().find_map(|domain| {
        let label = name.strip_suffix(domain.as_str())?.strip_suffix('.')?;
        (!label.is_empty()).then_some(label)
    })
}

fn by_prefix(
    listener: &Listener,
    table: &Table,
    method: &Method,
    headers: &HeaderMap,
    target: Target<'_>,
) -> Result<Decision, Refusal> {
    let (segment, slash) = target.first_segment();
    let Some(route) = table.by_prefix(segment) else {
        return match target.path() {
            "/" | "/index.html" => Ok(Decision::Answer(root(listener, table, method, headers))),
            _ => Err(absent(table, segment)),
        };
    };
    if !slash && matches!(*method, Method::GET | Method::HEAD) {
        return Ok(Decision::Answer(Own::Redirect(target.with_slash())));
    }
    Ok(Decision::Forward { route, target: target.without(1 + segment.len()), shared: true })
}

fn absent(table: &Table, name: &str) -> Refusal {
    if table.gone().names.contains(name) { Refusal::Gone } else { Refusal::NotFound }
}

fn root(listener: &Listener, table: &Table, method: &Method, headers: &HeaderMap) -> Own {
    let last = listener.last_prefix_redirect.then(|| last_prefix::wanted(table, method, headers)).flatten();
    // What the query says was not meant for whoever was asked last.
    last.map_or(Own::Root, |route| Own::Home(format!("{}/", route.prefix)))
}

/// Exactly one valid `Host`; only HTTP/1.0 may come without.
fn host(version: Version, headers: &HeaderMap) -> Result<Option<Host<'_>>, Refusal> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(Host::parse).map(Some).ok_or(Refusal::BadRequest),
        (None, _) if version == Version::HTTP_10 => Ok(None),
        _ => Err(Refusal::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::tenant::Overrides;
    use crate::route::build::{Guest, Inputs, Main, build};
    use proptest::prelude::*;

    #[test]
    fn every_row_of_the_prefix_table() {
        for (target, expected) in [
            ("/trial4?x=1", redirect("/trial4/?x=1")),
            ("/trial4", redirect("/trial4/")),
            ("/trial4/", forward("trial4", "/")),
            ("/trial4/?x=1", forward("trial4", "/?x=1")),
            ("/trial4/a%20b%2Fc?q=%E4%BD%A0", forward("trial4", "/a%20b%2Fc?q=%E4%BD%A0")),
            ("/trial40/y", forward("trial40", "/y")),
            ("/trial4x/y", refuse(Refusal::NotFound)),
            ("/TRIAL4/", refuse(Refusal::NotFound)),
            ("/trial4//x", forward("trial4", "//x")),
            ("/trial4/../owner/z", refuse(Refusal::BadRequest)),
            ("/trial4/%2e%2e/owner/z", refuse(Refusal::BadRequest)),
            ("/trial4\\..\\owner/z", refuse(Refusal::BadRequest)),
            ("//evil.example/owner/z", refuse(Refusal::BadRequest)),
            ("http://other/owner/z", refuse(Refusal::BadRequest)),
            ("http://bridge.example/owner/z", forward("owner", "/z")),
            ("/trial4/..%2fowner/z", forward("trial4", "/..%2fowner/z")),
            ("//", refuse(Refusal::BadRequest)),
            ("/", Decision::Answer(Own::Root)),
            ("/index.html", Decision::Answer(Own::Root)),
            ("/?token=x", Decision::Answer(Own::Root)),
            ("/login", refuse(Refusal::NotFound)),
            ("/%74rial4/", refuse(Refusal::NotFound)),
        ] {
            assert_eq!(get(target, "bridge.example"), expected, "{target}");
        }
        assert_eq!(ask(&Method::POST, "/trial4?x=1", Some("h")), forward("trial4", "/?x=1"));
        assert_eq!(ask(&Method::HEAD, "/trial4", Some("h")), redirect("/trial4/"));
        assert_eq!(ask(&Method::OPTIONS, "*", Some("h")), Decision::Answer(Own::Options));
        assert_eq!(ask(&Method::TRACE, "/", Some("h")), refuse(Refusal::MethodNotAllowed));
    }

    #[test]
    fn an_unknown_host_is_never_the_owner() {
        let host = |host| match get("/x", host) {
            Decision::Forward { route, shared: false, .. } => table().routes()[route].name.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!(host("trial4.example.com"), "trial4");
        assert_eq!(host("TRIAL4.example.com.:443"), "trial4");
        for unknown in ["trial4.attacker.tld", "trial40.example.com", "example.com", "[::1]"] {
            assert_eq!(host(unknown), "Answer(Refuse(NotFound))", "{unknown}");
        }
        assert_eq!(ask(&Method::GET, "/owner/", None), refuse(Refusal::BadRequest));
        assert_eq!(get("/owner/", "a b"), refuse(Refusal::BadRequest));
    }

    #[test]
    fn configured_domains_lead_by_label_and_close_the_rest() {
        let both = Listener { domains: vec!["example.net".into()], ..listener() };
        let host_only = Listener { mode: Mode::Host, ..both.clone() };
        for (listener, host, expected) in [
            (
                &both,
                "trial40.example.net",
                Decision::Forward { route: 2, target: "/x".into(), shared: false },
            ),
            (&both, "owner.example.net", Decision::Forward { route: 0, target: "/x".into(), shared: false }),
            (&both, "nobody.example.net", refuse(Refusal::NotFound)),
            (&both, "a.trial40.example.net", refuse(Refusal::NotFound)),
            (&both, "notexample.net", refuse(Refusal::Misdirected)),
            (&both, "127.0.0.1:7699", refuse(Refusal::NotFound)),
            (&host_only, "127.0.0.1:7699", refuse(Refusal::Misdirected)),
            (
                &host_only,
                "trial4.example.com",
                Decision::Forward { route: 1, target: "/x".into(), shared: false },
            ),
        ] {
            assert_eq!(on(listener, &Method::GET, "/x", Some(host)), expected, "{host}");
        }
        let prefix = Listener { hosts: vec!["cn.example.net".into()], mode: Mode::Prefix, ..listener() };
        assert_eq!(on(&prefix, &Method::GET, "/owner/", Some("cn.example.net")), forward("owner", "/"));
        assert_eq!(on(&prefix, &Method::GET, "/owner/", Some("x.example")), refuse(Refusal::Misdirected));
    }

    proptest! {
        #[test]
        fn a_forwarded_path_is_the_received_one(rest in "[a-z0-9/%?&=._~-]{0,30}") {
            let target = format!("/trial4/{rest}");
            if let Decision::Forward { target, .. } = get(&target, "h") {
                prop_assert_eq!(target, format!("/{rest}"));
            }
        }
    }

    fn get(target: &str, host: &str) -> Decision {
        ask(&Method::GET, target, Some(host))
    }

    fn ask(method: &Method, target: &str, host: Option<&str>) -> Decision {
        on(&listener(), method, target, host)
    }

    fn on(listener: &Listener, method: &Method, target: &str, host: Option<&str>) -> Decision {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, host.parse().unwrap());
        }
        let Ok(uri) = target.parse() else {
            return refuse(Refusal::BadRequest);
        };
        decide(listener, &table(), method, &uri, Version::HTTP_11, &headers)
    }

    fn listener() -> Listener {
        Listener::plain("x", "127.0.0.1:7699".parse().unwrap())
    }

    fn table() -> Table {
        let guest = |name: &str, port, hostname: &str| Guest {
            id: name.into(),
            name: name.into(),
            hostname: hostname.into(),
            ports: [None, None, Some(port)],
            socket: "x".into(),
            secret_file: "x".into(),
            limits: Some(Overrides::default()),
            logged: true,
            foreign: false,
        };
        let inputs = Inputs {
            main: Some(Main {
                name: "owner".into(),
                port: 7690,
                hosts: vec![],
                socket: "x".into(),
                foreign: false,
                secret_file: "x".into(),
            }),
            guests: vec![guest("trial4", 7901, "trial4.example.com"), guest("trial40", 7902, "")],
            ..Inputs::default()
        };
        build(&inputs).0
    }

    fn forward(name: &str, target: &str) -> Decision {
        let route = table().by_prefix(name).unwrap();
        Decision::Forward { route, target: target.to_owned(), shared: true }
    }

    fn redirect(to: &str) -> Decision {
        Decision::Answer(Own::Redirect(to.to_owned()))
    }

    fn refuse(refusal: Refusal) -> Decision {
        Decision::Answer(Own::Refuse(refusal))
    }
}
