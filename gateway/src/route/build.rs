//! Builds a table from what is known of services and guests.
//!
//! A record that cannot be routed removes itself and is reported; it never takes over, or falls back to,
//! a route of another.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use remotelab_config::instance_name::{MAX_LEN, RESERVED};
use remotelab_config::registry::Record;
use serde::Deserialize;
use serde_json::Value;

use super::gone::Gone;
use super::{Kind, Policy, Route, Table, definition};
use crate::host::Host;
use crate::limit;
use crate::limit::tenant::Overrides;

/// Where instances listen.
const UPSTREAM_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything that a table is built from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The main service.
    pub main: Option<Main>,
    /// Other services of the settings, which come before guests.
    pub services: Vec<Service>,
    /// Guests in the registry's order.
    pub guests: Vec<Guest>,
    /// Ports of the gateway itself, never an instance's.
    pub own_ports: Vec<u16>,
    /// Hosts that the listeners serve by prefix, never a guest's.
    pub own_hosts: Vec<String>,
    /// Upper bounds of whoever says nothing else.
    pub limits: limit::Tenant,
    /// What was here not long ago.
    pub gone: Gone,
}

/// The main service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// Its prefix without slash.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its host names.
    pub hosts: Vec<String>,
    /// The socket at which it listens beside its port, if it is new enough.
    pub socket: PathBuf,
    /// It does not know the prefix that leads to it.
    pub foreign: bool,
    /// The file with the key that vouches for our headers.
    pub secret_file: PathBuf,
}

/// A service on this machine that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its prefix without slash.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its host names.
    pub hosts: Vec<String>,
    /// It does not know the prefix that leads to it.
    pub foreign: bool,
}

/// What the registry and its service definition say about one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its stable id, or its name where there is none.
    pub id: String,
    /// Its normalised name.
    pub name: String,
    /// Its host name, or empty.
    pub hostname: String,
    /// Ports by falling precedence.
    pub ports: [Option<u16>; 3],
    /// The socket at which it listens beside its port, if it is new enough.
    pub socket: PathBuf,
    /// The file with the key that vouches for our headers.
    pub secret_file: PathBuf,
    /// Upper bounds of its own; `None` when they make no sense.
    pub limits: Option<Overrides>,
    /// Whether its requests are logged.
    pub logged: bool,
    /// It does not know the prefix that leads to it.
    pub foreign: bool,
}

impl Guest {
    /// Reads a record; `definition` is the text of its service definition, if there is one.
    #[must_use]
    pub fn new(record: &Record, definition: Option<&str>) -> Self {
        Self::with_port(record, definition.and_then(definition::chat_port))
    }

    /// Reads a record; `defined` is the port in its service definition.
    #[must_use]
    pub fn with_port(record: &Record, defined: Option<u16>) -> Self {
        let name = record.name.as_str().to_owned();
        Self {
            id: if record.id.is_empty() { name.clone() } else { record.id.clone() },
            name,
            hostname: record.hostname.trim().to_owned(),
            ports: [defined, port_of_url(&record.local_base_url), Some(record.port)],
            socket: record.paths().chat_socket(),
            secret_file: record.paths().gateway_secret(),
            logged: record.rest.get("accessLog") != Some(&Value::Bool(false)),
            foreign: record.rest.get("kind").is_some_and(|kind| kind == "foreign"),
            limits: match record.rest.get("limits") {
                None | Some(Value::Null) => Some(Overrides::default()),
                Some(limits) => Overrides::deserialize(limits).ok(),
            },
        }
    }
}

/// A record that has no route, or one that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The name belongs to the product.
    NameReserved(String),
    /// Another service or guest has the prefix.
    NameTaken(String),
    /// None of the port sources gives a usable one.
    NoPort(String),
    /// Several have the port.
    PortTaken(String, u16),
    /// Several have the host name.
    HostTaken(String, String),
    /// The host name is not one.
    HostInvalid(String, String),
    /// Its limits make no sense; the usual ones hold.
    LimitsInvalid(String),
    /// The sources disagree; the first is used.
    Drift(String, u16),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameReserved(name) => write!(f, "{name} has no route: the name is reserved"),
            Self::NameTaken(name) => {
                write!(f, "a second {name} has no route: the first one keeps it")
            }
            Self::NoPort(name) => write!(f, "{name} has no route: its record gives no usable port"),
            Self::PortTaken(name, port) => {
                write!(f, "{name} has no route: port {port} is claimed more than once")
            }
            Self::HostTaken(name, host) => {
                write!(f, "{name} has no route: host name {host} is claimed more than once")
            }
            Self::HostInvalid(name, host) => {
                write!(f, "{name} is reached by prefix only: {host:?} is no host name")
            }
            Self::LimitsInvalid(name) => {
                write!(f, "{name} has the usual limits: those of its record make no sense")
            }
            Self::Drift(name, port) => {
                write!(f, "{name}: registry and service definition disagree, port {port} is used")
            }
        }
    }
}

/// Builds the table and lists what was left out.
#[must_use]
pub fn build(inputs: &Inputs) -> (Table, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut routes = Vec::with_capacity(1 + inputs.services.len() + inputs.guests.len());
    routes.extend(inputs.main.iter().map(|main| main_route(main, inputs)));
    routes.extend(inputs.services.iter().map(|service| service_route(service, inputs)));
    routes.retain(|route: &Route| !inputs.own_ports.contains(&route.upstream.port()));
    let mut seen: HashSet<String> = routes.iter().map(|route| route.name.clone()).collect();
    for guest in &inputs.guests {
        if RESERVED.contains(&guest.name.as_str()) || !is_name(&guest.name) {
            problems.push(Problem::NameReserved(guest.name.clone()));
        } else if !seen.insert(guest.name.clone()) {
            problems.push(Problem::NameTaken(guest.name.clone()));
        } else if let Some(route) = guest_route(guest, inputs, &mut problems) {
            routes.push(route);
        }
    }
    drop_colliding(&mut routes, inputs, &mut problems);
    (Table::new(routes, inputs.gone.clone()), problems)
}

fn main_route(main: &Main, inputs: &Inputs) -> Route {
    Route {
        id: "owner".to_owned(),
        name: main.name.clone(),
        kind: Kind::Main,
        prefix: format!("/{}", main.name),
        cookie_prefix: format!("{}__", main.name),
        hosts: main.hosts.clone(),
        upstream: SocketAddr::new(UPSTREAM_HOST, main.port),
        socket: (!main.foreign).then(|| main.socket.clone()),
        secret_file: (!main.foreign).then(|| main.secret_file.clone()),
        policy: Policy { limits: inputs.limits, logged: true, foreign: main.foreign },
    }
}

fn service_route(service: &Service, inputs: &Inputs) -> Route {
    Route {
        id: service.name.clone(),
        name: service.name.clone(),
        kind: Kind::Service,
        prefix: format!("/{}", service.name),
        cookie_prefix: format!("{}__", service.name),
        hosts: service.hosts.clone(),
        upstream: SocketAddr::new(UPSTREAM_HOST, service.port),
        socket: None,
        secret_file: None,
        policy: Policy { limits: inputs.limits, logged: true, foreign: service.foreign },
    }
}

fn guest_route(guest: &Guest, inputs: &Inputs, problems: &mut Vec<Problem>) -> Option<Route> {
    let usable = || guest.ports.iter().flatten().copied().filter(|port| !inputs.own_ports.contains(port));
    let Some(port) = usable().next() else {
        problems.push(Problem::NoPort(guest.name.clone()));
        return None;
    };
    if guest.ports.iter().flatten().any(|&other| other != port) {
        problems.push(Problem::Drift(guest.name.clone(), port));
    }
    let hosts = match Host::parse(&guest.hostname) {
        Some(host) if host.port.is_none() && !host.is_machine() => vec![host.name.into_owned()],
        _ => {
            if !guest.hostname.is_empty() {
                problems.push(Problem::HostInvalid(guest.name.clone(), guest.hostname.clone()));
            }
            Vec::new()
        }
    };
    let limits = guest.limits.and_then(|own| own.over(inputs.limits).ok()).unwrap_or_else(|| {
        problems.push(Problem::LimitsInvalid(guest.name.clone()));
        inputs.limits
    });
    Some(Route {
        id: guest.id.clone(),
        name: guest.name.clone(),
        kind: Kind::Guest,
        prefix: format!("/{}", guest.name),
        cookie_prefix: format!("{}__", guest.name),
        hosts,
        upstream: SocketAddr::new(UPSTREAM_HOST, port),
        socket: (!guest.foreign).then(|| guest.socket.clone()),
        secret_file: (!guest.foreign).then(|| guest.secret_file.clone()),
        policy: Policy { limits, logged: guest.logged, foreign: guest.foreign },
    })
}

/// Whoever shares a port or a host name with another guest loses the route, and so does the other: one of
/// the records is wrong, and nobody can tell which. What the settings name stays.
fn drop_colliding(routes: &mut Vec<Route>, inputs: &Inputs, problems: &mut Vec<Problem>) {
    let mut ports: HashMap<u16, usize> = HashMap::new();
    let mut hosts: HashMap<String, usize> = inputs.own_hosts.iter().map(|host| (host.clone(), 1)).collect();
    for route in routes.iter() {
        *ports.entry(route.upstream.port()).or_default() += 1;
        for host in &route.hosts {
            *hosts.entry(host.clone()).or_default() += 1;
        }
    }
    routes.retain(|route| {
        let port = route.upstream.port();
        if route.kind != Kind::Guest {
            return true;
        }
        if ports[&port] > 1 {
            problems.push(Problem::PortTaken(route.name.clone(), port));
            return false;
        }
        if let Some(host) = route.hosts.iter().find(|host| hosts[*host] > 1) {
            problems.push(Problem::HostTaken(route.name.clone(), host.clone()));
            return false;
        }
        true
    });
}

fn is_name(name: &str) -> bool {
    (1..=MAX_LEN).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The port of a base address, given or by scheme.
fn port_of_url(url: &str) -> Option<u16> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    Host::parse(authority)?.port.or(Some(default)).filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guest(name: &str, port: u16, hostname: &str) -> Guest {
        Guest {
            id: name.to_owned(),
            name: name.to_owned(),
            hostname: hostname.to_owned(),
            ports: [None, None, Some(port)],
            socket: PathBuf::new(),
            secret_file: PathBuf::new(),
            limits: Some(Overrides::default()),
            logged: true,
            foreign: false,
        }
    }

    fn built(guests: Vec<Guest>) -> (Vec<(String, u16)>, Vec<Problem>) {
        let main = Main {
            name: "owner".into(),
            port: 7690,
            hosts: vec![],
            socket: PathBuf::new(),
            foreign: false,
            secret_file: PathBuf::new(),
        };
        let inputs = Inputs {
            main: Some(main),
            guests,
            own_ports: vec![7699],
            own_hosts: vec!["bridge.example".into()],
            ..Inputs::default()
        };
        let (table, problems) = build(&inputs);
        let routes = table.routes().iter().map(|r| (r.name.clone(), r.upstream.port())).collect();
        (routes, problems)
    }

    #[test]
    fn an_empty_registry_leaves_the_main_service_alone() {
        assert_eq!(built(vec![]), (vec![("owner".into(), 7690)], vec![]));
    }

    #[test]
    fn wrong_records_remove_themselves_and_no_other() {
        let (routes, problems) = built(vec![
            guest("trial1", 7696, ""),
            guest("owner", 7701, ""),
            guest("admin", 7702, ""),
            guest("_gateway", 7702, ""),
            guest("trial1", 7703, ""),
            guest("bridge", 7699, ""),
            guest("like-main", 7690, ""),
            guest("a", 7704, ""),
            guest("b", 7704, ""),
            guest("c", 7705, "X.example"),
            guest("d", 7706, "x.example."),
            guest("e", 7707, "bridge.example"),
            guest("f", 7708, "not a host"),
        ]);
        assert_eq!(routes, [("owner".into(), 7690), ("trial1".into(), 7696), ("f".into(), 7708)]);
        let name = |name: &str| name.to_owned();
        assert_eq!(
            problems,
            [
                Problem::NameReserved(name("owner")),
                Problem::NameReserved(name("admin")),
                Problem::NameReserved(name("_gateway")),
                Problem::NameTaken(name("trial1")),
                Problem::NoPort(name("bridge")),
                Problem::HostInvalid(name("f"), name("not a host")),
                Problem::PortTaken(name("like-main"), 7690),
                Problem::PortTaken(name("a"), 7704),
                Problem::PortTaken(name("b"), 7704),
                Problem::HostTaken(name("c"), name("x.example")),
                Problem::HostTaken(name("d"), name("x.example")),
                Problem::HostTaken(name("e"), name("bridge.example")),
            ]
        );
    }

    #[test]
    fn services_of_the_settings_come_before_guests() {
        let service = |name: &str, port| Service {
            name: name.into(),
            port,
            hosts: vec![format!("{name}.example")],
            foreign: false,
        };
        let inputs = Inputs {
            services: vec![service("wiki", 8080), service("self", 7699)],
            guests: vec![
                guest("wiki", 7701, ""),
                guest("a", 8080, ""),
                guest("b", 7702, "wiki.example"),
                guest("c", 7703, ""),
            ],
            own_ports: vec![7699],
            ..Inputs::default()
        };
        let (table, problems) = build(&inputs);
        let routes: Vec<_> = table.routes().iter().map(|route| (route.name.as_str(), route.kind)).collect();
        assert_eq!(routes, [("wiki", Kind::Service), ("c", Kind::Guest)]);
        assert_eq!((table.by_host("wiki.example"), &table.routes()[0].secret_file), (Some(0), &None));
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn the_live_definition_wins_over_the_record() {
        let record: Record = serde_json::from_value(json!({
            "name": "trial4", "port": "7902abc", "localBaseUrl": "http://127.0.0.1:7901",
            "configDir": "/x/config", "instanceRoot": "/x"
        }))
        .unwrap();
        let port = |guest| built(vec![guest]).0.get(1).map(|route| route.1);
        assert_eq!(port(Guest::new(&record, Some("CHAT_PORT=7900"))), Some(7900));
        assert_eq!(port(Guest::new(&record, None)), Some(7901));
        assert_eq!(port(Guest::new(&record, Some("CHAT_PORT=7699"))), Some(7901));
        let without_url = Record { local_base_url: String::new(), ..record.clone() };
        assert_eq!(port(Guest::new(&without_url, None)), Some(7902));
        let drift = built(vec![Guest::new(&record, None)]).1;
        assert_eq!(drift, [Problem::Drift("trial4".into(), 7901)]);
        assert_eq!(Guest::new(&record, None).secret_file, PathBuf::from("/x/config/gateway-secret"));
    }

    #[test]
    fn a_record_may_have_limits_of_its_own() {
        let limits = |limits: Value| {
            let record = json!({ "name": "a", "port": 7901, "limits": limits });
            let guest = Guest::new(&serde_json::from_value(record).unwrap(), None);
            let (table, problems) = build(&Inputs { guests: vec![guest], ..Inputs::default() });
            (table.routes()[0].policy.limits, problems)
        };
        let usual = limit::Tenant::default();
        assert_eq!(limits(Value::Null), (usual, vec![]));
        assert_eq!(limits(json!({ "requests": 3 })), (limit::Tenant { requests: 3, ..usual }, vec![]));
        for wrong in [json!({ "requests": "many" }), json!({ "requests": 0 }), json!(7)] {
            assert_eq!(limits(wrong), (usual, vec![Problem::LimitsInvalid("a".into())]));
        }
    }

    #[test]
    fn base_addresses_have_ports() {
        for (url, port) in [
            ("http://127.0.0.1:7901", Some(7901)),
            ("http://h/x", Some(80)),
            ("https://h", Some(443)),
            ("ftp://h:1", None),
            ("", None),
        ] {
            assert_eq!(port_of_url(url), port, "{url}");
        }
    }
}
