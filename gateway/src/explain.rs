//! What would become of a request, without sending it.

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use remotelab_config::registry;
use serde_json::{Map, Value, json};

use crate::decision::{Decision, Own, Refusal, decide};
use crate::engine::watch::Source;
use crate::headers;
use crate::listener::{Listener, Mode};
use crate::route::{Kind, Route, Table};
use crate::settings::Settings;

/// A request that somebody thinks of.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A listener's name; otherwise the first that serves the host.
    pub listener: Option<String>,
    /// The method; `GET` where there is none.
    pub method: Option<String>,
    /// The value of `Host`.
    pub host: String,
    /// Path and query, as they stand in a request.
    pub target: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// Reads an address as people write it: with host or, for the first listener, without.
    #[must_use]
    pub fn url(url: &str, settings: &Settings) -> Self {
        let (host, target) = match url.split_once("://") {
            Some((_, rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            None => (settings.listeners.first().map(|first| first.bind.to_string()).unwrap_or_default(), url),
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        // Browsers keep what follows a hash to themselves.
        let target = target.split('#').next().unwrap_or_default();
        Self { host, target: format!("{slash}{target}"), ..Self::default() }
    }
}

/// Explains by routes in force.
#[must_use]
pub fn explain(settings: &Settings, table: &Table, asked: &Asked) -> Value {
    let Some(request) = Request::read(asked) else {
        return refused(Refusal::BadRequest);
    };
    let decision = |listener: &Listener| {
        decide(listener, table, &request.method, &request.uri, Version::HTTP_11, &request.headers)
    };
    let served =
        |listener: &&Listener| decision(listener) != Decision::Answer(Own::Refuse(Refusal::Misdirected));
    let listener = match &asked.listener {
        Some(name) => settings.listeners.iter().find(|listener| listener.name == *name),
        None => settings.listeners.iter().find(served).or(settings.listeners.first()),
    };
    let Some(listener) = listener else {
        return json!({ "decision": "refuse", "code": "no_such_listener" });
    };
    let mut told = match decision(listener) {
        Decision::Forward { route, target, shared } => {
            forwarded(&request, listener, &table.routes()[route], &target, shared)
        }
        Decision::Answer(Own::Redirect(location)) => redirected(StatusCode::PERMANENT_REDIRECT, &location),
        Decision::Answer(Own::Home(location)) => redirected(StatusCode::FOUND, &location),
        Decision::Answer(Own::Root) => json!({ "decision": "root" }),
        Decision::Answer(Own::Options) => json!({ "decision": "options", "status": 204 }),
        Decision::Answer(Own::Refuse(refusal)) => refused(refusal),
    };
    told["listener"] = listener.name.clone().into();
    told
}

/// Explains by the files alone, where no gateway runs. Writes nothing.
///
/// # Errors
/// When the registry cannot be read.
pub fn offline(settings: &Settings, asked: &Asked) -> Result<Value, registry::Error> {
    let own_ports = settings.listeners.iter().map(|listener| listener.bind.port()).collect();
    Ok(explain(settings, &Source::new(settings, own_ports).look()?, asked))
}

/// The names of those whose pages share an origin with those of an instance, by the files alone.
///
/// # Errors
/// When the registry cannot be read.
pub fn neighbours(settings: &Settings, name: &str, kind: Kind) -> Result<Vec<String>, registry::Error> {
    if settings.listeners.iter().all(|listener| listener.mode == Mode::Host) {
        return Ok(Vec::new());
    }
    let own_ports = settings.listeners.iter().map(|listener| listener.bind.port()).collect();
    let table = Source::new(settings, own_ports).look()?;
    let is_own = |route: &Route| route.kind == kind && (kind == Kind::Main || route.name == name);
    let (own, others): (Vec<_>, Vec<_>) = table.routes().iter().partition(|route| is_own(route));
    let others = others.iter().map(|route| route.name.clone());
    Ok(if own.is_empty() { Vec::new() } else { others.collect() })
}

struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    /// Reads it as a server would.
    fn read(asked: &Asked) -> Option<Self> {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_str(&asked.host).ok()?);
        for (name, value) in &asked.headers {
            headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
        }
        let method = asked.method.as_deref().unwrap_or("GET").parse().ok()?;
        // A hash never comes this far (see `framing`).
        let target = Some(&asked.target).filter(|target| !target.contains('#'))?;
        Some(Self { method, uri: target.parse().ok()?, headers })
    }
}

fn refused(refusal: Refusal) -> Value {
    json!({ "decision": "refuse", "status": refusal.status().as_u16(), "code": refusal.code() })
}

fn redirected(status: StatusCode, location: &str) -> Value {
    json!({ "decision": "redirect", "status": status.as_u16(), "location": location })
}

fn forwarded(request: &Request, listener: &Listener, route: &Route, target: &str, shared: bool) -> Value {
    let mut sent = request.headers.clone();
    headers::clean_request(&mut sent, listener);
    if shared {
        headers::map_request_cookies(&mut sent, &route.cookie_prefix, false);
    }
    let limits = &route.policy.limits;
    json!({
        "decision": "forward",
        "tenant": route.name,
        "instanceId": route.id,
        "kind": route.kind.as_str(),
        "foreign": route.policy.foreign,
        "by": if shared { "prefix" } else { "host" },
        "upstream": route.upstream.to_string(),
        "target": target,
        "headers": shown(&sent),
        "forwardedPrefix": shared.then_some(&route.prefix),
        "signed": route.secret_file.is_some(),
        "limits": { "requests": limits.requests, "queue": limits.queue, "sockets": limits.sockets, "body": limits.body },
    })
}

/// Headers of the client that cross, without what signs in.
fn shown(headers: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let value = match name {
            name if name == COOKIE => {
                let pairs = values.flat_map(|value| value.split("; "));
                let names: Vec<&str> = pairs.map(|pair| pair.split('=').next().unwrap_or_default()).collect();
                names.iter().map(|name| format!("{name}=***")).collect::<Vec<_>>().join("; ")
            }
            name if name == AUTHORIZATION => "***".to_owned(),
            _ => values.collect::<Vec<_>>().join(", "),
        };
        shown.insert(name.as_str().to_owned(), value.into());
    }
    shown
}
