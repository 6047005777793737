//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use percent_encoding::percent_decode_str;
use remotelab_config::registry::Record;
use remotelab_gateway::cookie::{self, Scope};
use remotelab_gateway::decision::{Decision, Own, decide};
use remotelab_gateway::etag::{self, Mark};
use remotelab_gateway::foreign::{Rewriter, Text};
use remotelab_gateway::framing::Framing;
use remotelab_gateway::headers;
use remotelab_gateway::host::Host;
use remotelab_gateway::limit::tenant::Overrides;
use remotelab_gateway::listener::{ClientIp, Listener, Mode};
use remotelab_gateway::location::{self, Frame};
use remotelab_gateway::route::Table;
use remotelab_gateway::route::build::{Guest, Inputs, Main, build};
use remotelab_gateway::target::MAX_LEN;
use remotelab_gateway::websocket;

const TRIAL4: Scope<'_> = Scope { name_prefix: "trial4__", path: "/trial4", secure: false };

const BELOW: Frame<'_> =
    Frame { prefix: "/trial4", native: false, upstream: "127.0.0.1:7901", outside: Some("bridge.example") };

/// The bytes are a request's head. Whatever listener it comes to, an instance gets only what is meant
/// for it, and the path that it gets is the one that was sent.
pub fn request(data: &[u8]) {
    let Some(head) = Head::read(data) else { return };
    let table = table();
    for listener in listeners() {
        let decision = decide(&listener, &table, &head.method, &head.uri, head.version, &head.headers);
        match decision {
            Decision::Forward { route, target, shared } => {
                let route = &table.routes()[route];
                assert_is_plain(&target);
                let received = head.uri.path_and_query().map_or("", |target| target.as_str());
                if shared {
                    let below = received.strip_prefix(&route.prefix).expect("reached by its prefix");
                    assert!(below == target || format!("/{below}") == target, "{received} as {target}");
                    assert_ne!(listener.mode, Mode::Host);
                } else {
                    assert_eq!(received, target);
                    assert_ne!(listener.mode, Mode::Prefix);
                    let host = head.host().expect("chosen by its host");
                    let label = host.name.strip_suffix(".example.net");
                    assert!(label == Some(&route.name) || route.hosts.iter().any(|own| *own == host.name));
                }
            }
            Decision::Answer(Own::Redirect(to)) => {
                let (path, _) = to.split_once('?').unwrap_or((&to, ""));
                assert!(table.by_prefix(path.trim_matches('/')).is_some(), "{to}");
                assert!(!to.starts_with("//") && path.ends_with('/'), "{to}");
            }
            Decision::Answer(_) => {}
        }
    }
}

/// The first byte tells where to cut the rest. Cuts change nothing, and what passes has one length.
pub fn framing(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let mut whole = Framing::default();
    let verdict = whole.feed(bytes);
    for size in [1, usize::from(cut) + 1] {
        let mut pieces = Framing::default();
        let mut fed = 0;
        let refused = bytes.chunks(size).find_map(|piece| {
            let at = fed;
            fed += piece.len();
            pieces.feed(piece).err().map(|violation| at + violation.good)
        });
        match (verdict, refused) {
            (Ok(()), None) => assert_eq!(pieces, whole),
            // A line that began in an earlier piece is gone from this one.
            (Err(violation), Some(at)) => assert!(violation.good <= at && at < bytes.len()),
            (one, other) => panic!("{one:?} in one piece, {other:?} in pieces of {size}"),
        }
    }
    let passed = &bytes[..verdict.map_or_else(|violation| violation.good, |()| bytes.len())];
    assert_first_head_is_plain(passed);
}

/// The bytes are header lines. No forged or hop-by-hop header reaches an instance, none that acts on
/// the whole origin leaves one, and a socket opens only for the host that is asked.
pub fn headers(data: &[u8]) {
    let received = fields(data);
    for listener in listeners() {
        let mut sent = received.clone();
        headers::clean_request(&mut sent, &listener);
        let believes_edge = listener.client_ip == ClientIp::CfConnectingIp;
        for name in sent.keys().map(HeaderName::as_str) {
            assert!(!name.starts_with("x-forwarded-") && !name.starts_with("x-remotelab-gateway"), "{name}");
            assert!(!["forwarded", "x-real-ip", "x-request-id", "true-client-ip"].contains(&name), "{name}");
            assert!(!["connection", "upgrade", "te", "transfer-encoding"].contains(&name), "{name}");
            assert!(believes_edge || !name.starts_with("cf-"), "{name}");
        }
        for kept in ["host", "content-length"] {
            assert!(sent.get_all(kept).iter().eq(received.get_all(kept)));
        }
        let _ = listener.client([127, 0, 0, 1].into(), &received);
    }
    let mut answer = received.clone();
    headers::map_response(&mut answer, BELOW, Some(TRIAL4));
    for gone in ["clear-site-data", "service-worker-allowed", "strict-transport-security", "server"] {
        assert!(!answer.contains_key(gone));
    }
    assert!(answer.get_all("set-cookie").iter().all(|cookie| cookie.as_bytes().starts_with(b"trial4__")));

    if let Some(accept) = websocket::expected_accept(&Method::GET, Version::HTTP_11, &received) {
        assert_eq!(accept.len(), 28);
    }
    if received.contains_key("origin") && !received.contains_key("x-forwarded-host") {
        let host = Host::parse("a.b.c.invalid");
        let [any, ..] = listeners();
        assert!(!websocket::is_own_origin(&received, host.as_ref(), &any) || mentions(&received));
    }
}

/// The lines are header values. Cookies keep to their instance both ways and come back as they were set.
pub fn cookie(data: &[u8]) {
    let values: Vec<HeaderValue> =
        data.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let mut received = HeaderMap::new();
    received.extend(values.iter().map(|value| (COOKIE, value.clone())));
    if let Some(sent) = cookie::to_instance(&received, TRIAL4.name_prefix, false) {
        for pair in text(&sent).split("; ") {
            let outside = format!("trial4__{pair}");
            assert!(values.iter().any(|value| text(value).contains(&outside)), "{pair}");
        }
    }
    if let Some(legacy) = cookie::to_instance(&received, "owner__", true)
        && cookie::to_instance(&received, "owner__", false).is_none()
    {
        let is_login =
            |pair: &str| pair.starts_with("session_token=") || pair.starts_with("visitor_session_token=");
        assert!(text(&legacy).split("; ").all(is_login), "{legacy:?}");
    }
    for value in &values {
        for secure in [false, true] {
            let Some(set) = cookie::from_instance(value, Scope { secure, ..TRIAL4 }) else { continue };
            assert_is_scoped(text(&set), secure);
            assert_comes_back(text(value), text(&set));
        }
    }
}

/// The bytes are a reference. It stays below the prefix, never tells the inner address, and is mapped
/// once however often it passes.
pub fn location(data: &[u8]) {
    let reference = String::from_utf8_lossy(data);
    let mapped = location::map(&reference, BELOW);
    assert_eq!(location::map(&mapped, BELOW), mapped);
    if mapped.starts_with('/') {
        let below = mapped.strip_prefix("/trial4").expect("below the prefix");
        assert!(below.is_empty() || below.starts_with(['/', '?', '#']), "{mapped}");
    } else {
        assert_eq!(mapped, reference);
        assert!(authority(&mapped).is_none_or(|host| !is_inner(&host)), "{mapped}");
    }

    let native = location::map(&reference, Frame { native: true, ..BELOW });
    if reference.starts_with('/') {
        assert_eq!(native.strip_prefix("/trial4"), Some(&*reference));
    }

    let own = location::map(&reference, Frame { prefix: "", outside: Some("trial4.example.com"), ..BELOW });
    assert!(own == reference || (own.starts_with('/') && !own.starts_with("//")), "{own}");

    let link = location::map_link(&reference, BELOW);
    assert_eq!(location::map_link(&link, BELOW), link);
    let refresh = location::map_refresh(&reference, BELOW);
    assert_eq!(location::map_refresh(&refresh, BELOW), refresh);
}

/// The bytes are a list of registry records with their service definitions. No two ways lead to one
/// instance's name, port or host twice, none leads to the gateway itself, and the owner's is there.
pub fn routes(data: &[u8]) {
    let Ok(found) = serde_json::from_slice::<Vec<(Record, Option<String>)>>(data) else { return };
    let inputs = Inputs {
        main: Some(Main {
            name: "owner".into(),
            port: 7690,
            hosts: vec![],
            socket: "x".into(),
            foreign: false,
            secret_file: "x".into(),
        }),
        guests: found.iter().map(|(record, definition)| Guest::new(record, definition.as_deref())).collect(),
        own_ports: vec![7699],
        own_hosts: vec!["bridge.example".into()],
        ..Inputs::default()
    };
    let (table, problems) = build(&inputs);
    let routes = table.routes();
    assert_eq!(table.by_prefix("owner"), Some(0));
    for (at, route) in routes.iter().enumerate() {
        assert_eq!(table.by_prefix(&route.name), Some(at));
        assert!(route.hosts.iter().all(|host| table.by_host(host) == Some(at) && host != "bridge.example"));
        assert!(route.upstream.ip().is_loopback() && ![0, 7699].contains(&route.upstream.port()));
        assert!(routes[..at].iter().all(|other| other.upstream != route.upstream), "{route:?}");
        assert_eq!(route.prefix, format!("/{}", route.name));
    }
    assert!(routes.len() - 1 + problems.len() >= found.len(), "a record is gone without a word");
}

/// The bytes are an authority. A host has one spelling, which names the same host.
pub fn host(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(host) = Host::parse(&text) else { return };
    let again = Host::parse(&host.name).expect("a name is a host");
    assert_eq!((&again.name, again.port), (&host.name, None));
    assert!(host.same_as(&host));
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.:[]".contains(&b);
    assert!(host.name.bytes().all(is_plain) && !host.name.is_empty(), "{host:?}");
    assert!(text.to_ascii_lowercase().starts_with(&*host.name));
}

/// The first byte tells where to cut the page that the rest is.
pub fn html(data: &[u8]) {
    assert_is_changed_once(Text::Html, data);
}

/// The first byte tells where to cut the style sheet that the rest is.
pub fn css(data: &[u8]) {
    assert_is_changed_once(Text::Css, data);
}

/// The first byte tells where to cut the manifest that the rest is.
pub fn manifest(data: &[u8]) {
    assert_is_changed_once(Text::Manifest, data);
}

/// The lines are header values. A tag that was marked comes back as it was given, and lists stay lists.
pub fn etag(data: &[u8]) {
    for value in data.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        for mark in [Mark::Rewritten, Mark::Packed] {
            let Some(marked) = etag::mark(&value, mark) else { continue };
            let (back, was) = etag::unmark(&marked).expect("it is marked");
            assert_eq!((text(&back), was), (text(&value).trim(), mark));
        }
        if let Some((list, _)) = etag::unmark(&value) {
            let tags = |list: &HeaderValue| text(list).matches('"').count();
            assert_eq!(tags(&list), tags(&value));
        }
    }
}

/// Cuts change nothing, a second reading changes nothing, and a prefix is all that goes in.
fn assert_is_changed_once(text: Text, data: &[u8]) {
    let Some((&cut, given)) = data.split_first() else { return };
    let once = changed(text, given, given.len());
    assert_eq!(
        changed(text, given, usize::from(cut) + 1).escape_ascii().to_string(),
        once.escape_ascii().to_string()
    );
    assert_eq!(
        changed(text, &once, usize::from(cut) + 1).escape_ascii().to_string(),
        once.escape_ascii().to_string()
    );
    if text == Text::Css {
        let without = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("/trial4", "");
        assert_eq!(without(&once), without(given));
    }
}

fn changed(text: Text, whole: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rewriter = Rewriter::new(text, "/trial4", true);
    for piece in whole.chunks(size.max(1)) {
        rewriter.write(piece, &mut out);
    }
    rewriter.end(&mut out);
    out
}

struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

impl Head {
    fn read(data: &[u8]) -> Option<Self> {
        let end = data.iter().position(|&byte| byte == b'\n')?;
        let line = std::str::from_utf8(&data[..end]).ok()?;
        let mut words = line.trim_end_matches('\r').splitn(3, ' ');
        Some(Self {
            method: words.next()?.parse().ok()?,
            uri: words.next()?.parse().ok()?,
            version: if words.next()? == "HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 },
            headers: fields(&data[end + 1..]),
        })
    }

    fn host(&self) -> Option<Host<'_>> {
        let mut values = self.headers.get_all(HOST).iter();
        let host = Host::parse(values.next()?.to_str().ok()?);
        host.filter(|_| values.next().is_none())
    }
}

fn fields(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n').take(100) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn listeners() -> [Listener; 4] {
    let any = Listener::plain("any", ([127, 0, 0, 1], 7699).into());
    let prefix = Listener { hosts: vec!["cn.example.net".into()], mode: Mode::Prefix, ..any.clone() };
    let host = Listener { mode: Mode::Host, client_ip: ClientIp::CfConnectingIp, ..any.clone() };
    let domain = Listener {
        domains: vec!["example.net".into()],
        hosts: vec!["bridge.example".into()],
        client_ip: ClientIp::LastForwardedFor,
        ..any.clone()
    };
    [any, prefix, host, domain]
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

/// In origin form, bounded, and without a segment that climbs however it is read.
fn assert_is_plain(target: &str) {
    assert!(target.starts_with('/') && target.len() <= MAX_LEN + 1, "{target}");
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    assert!(
        !path.contains(['\\', '#']) && !path.contains(|c: char| c.is_ascii_control() || c == ' '),
        "{path}"
    );
    for segment in path.split('/') {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        assert!(decoded != b"." && decoded != b".." && !decoded.contains(&0), "{path}");
    }
}

/// Reads the first head a second time, as simply as can be.
fn assert_first_head_is_plain(passed: &[u8]) {
    let text: String = passed.iter().map(|&byte| char::from(byte)).collect();
    let text = text.trim_start_matches("\r\n");
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return };
    assert!(!head.replace("\r\n", "").contains('\n'), "a bare line feed in {head:?}");
    let lengths = head.split("\r\n").skip(1).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        ["content-length", "transfer-encoding"].contains(&name.as_str())
    });
    assert!(lengths.count() <= 1, "two lengths in {head:?}");
}

/// Reads a `Set-Cookie` as browsers do (RFC 6265 §5.2), where the last attribute of a name counts.
fn assert_is_scoped(set: &str, secure: bool) {
    let mut parts = set.split(';').map(|part| part.trim_matches([' ', '\t']));
    assert!(parts.next().is_some_and(|pair| pair.starts_with("trial4__")), "{set}");
    let mut path = None;
    let mut is_secure = false;
    for attribute in parts {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match key.trim_matches([' ', '\t']).to_ascii_lowercase().as_str() {
            "path" => path = Some(value.trim_matches([' ', '\t'])),
            "domain" => panic!("a domain in {set}"),
            "secure" => is_secure = true,
            _ => {}
        }
    }
    let below = path.and_then(|path| path.strip_prefix("/trial4")).expect(set);
    assert!(below.is_empty() || below.starts_with('/'), "{set}");
    assert!(is_secure || !secure, "{set}");
}

fn assert_comes_back(given: &str, set: &str) {
    let pair = set.split(';').next().unwrap_or_default();
    let mut received = HeaderMap::new();
    received.insert(COOKIE, pair.parse().expect("part of a header value"));
    let back = cookie::to_instance(&received, TRIAL4.name_prefix, false).expect("its own cookie");
    let (name, content) = given.split(';').next().and_then(|pair| pair.split_once('=')).expect(given);
    let wanted = format!("{}={content}", name.trim_matches([' ', '\t']));
    assert_eq!(text(&back), wanted.trim_end_matches([' ', '\t']));
    assert_eq!(cookie::to_instance(&received, "trial40__", true), None);
    assert_eq!(cookie::to_instance(&received, "owner__", true), None);
}

fn text(value: &HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn authority(reference: &str) -> Option<Host<'_>> {
    let (scheme, rest) = reference.split_once("://")?;
    let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    Host::parse(rest.split(['/', '?', '#', '\\']).next()?).filter(|_| is_web)
}

fn is_inner(host: &Host<'_>) -> bool {
    host.name == "127.0.0.1" && host.port == Some(7901)
}

fn mentions(headers: &HeaderMap) -> bool {
    headers.get_all("origin").iter().any(|origin| text(origin).to_ascii_lowercase().contains("a.b.c.invalid"))
}
