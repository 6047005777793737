//! What `up` says when it is up.

use std::fmt::Write;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use remotelab_executor::catalogue::CatalogueOptions;
use remotelab_executor::{Catalogue, demo};
use remotelab_gateway::Settings as GatewaySettings;
use remotelab_manager::supervisor::{Options, Service};
use remotelab_manager::{lan, qr};
use remotelab_protocol::tool::Tool;

use crate::place::Place;

const INSTALL: [&str; 2] = ["npm install -g @openai/codex", "npm install -g @anthropic-ai/claude-code"];

const OPEN_TO_PHONE: &str = "`remotelab up --lan` opens it, see docs/setup.md";

/// Everything that the greeting tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    owner: Result<String, String>,
    gateway: Option<String>,
    phone: Phone,
    /// What is drawn for a camera, on a terminal only: the link for phones, or else the gateway's.
    code: Option<String>,
    executors: Vec<String>,
    config: PathBuf,
    logs: PathBuf,
}

/// How a phone of the local network comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phone {
    /// By this link.
    Open(String),
    /// Not yet: the door is open to this machine only.
    Closed(Ipv4Addr),
    /// There is no network to come by.
    NoNetwork,
}

impl Facts {
    pub(super) fn collect(
        options: &Options,
        gateway: &GatewaySettings,
        service: &Service,
        place: &Place,
    ) -> Self {
        let token = service.owner_token().map(|token| token.reveal()).map_err(ToString::to_string);
        let token_text = token.as_ref().ok();
        let owner = options.listens.iter().find(|listen| listen.user == "owner");
        let door = gateway.listeners.first().map(|listener| listener.bind);
        let door_link = |at| Some(link(at, &format!("/{}", gateway.main.name), token_text?));
        let gateway_link = door.and_then(|door| door_link(reachable(door)));
        let phone = match (door, lan::address()) {
            (_, None) | (None, _) => Phone::NoNetwork,
            (Some(door), Some(network)) if door.ip().is_loopback() => Phone::Closed(network),
            (Some(door), Some(network)) => {
                let ip = if door.ip().is_unspecified() { network.into() } else { door.ip() };
                door_link(SocketAddr::new(ip, door.port())).map_or(Phone::NoNetwork, Phone::Open)
            }
        };
        let code = match &phone {
            Phone::Open(link) => Some(link.clone()),
            Phone::Closed(_) | Phone::NoNetwork => gateway_link.clone(),
        };
        Self {
            owner: token.clone().and_then(|token| {
                let address = owner.map(|listen| reachable(listen.address));
                address.map(|at| link(at, "", &token)).ok_or_else(|| "not run here".to_owned())
            }),
            gateway: gateway_link,
            phone,
            code: code.filter(|_| std::io::stdout().is_terminal()),
            executors: executors(options, place),
            config: options.paths.instance().config().to_owned(),
            logs: options.paths.logs(),
        }
    }

    /// Writes the greeting.
    pub(super) fn render(&self) -> String {
        let mut text = String::from("RemoteLab is up.\n\n");
        let mut put = |key: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        match &self.owner {
            Ok(link) => put("owner", link),
            Err(problem) => {
                put("owner", &format!("no link ({problem}); `remotelab generate-token` helps"));
            }
        }
        if let Some(link) = &self.gateway {
            put("gateway", link);
        }
        match &self.phone {
            Phone::Open(link) => put("phone", link),
            Phone::Closed(network) => {
                put("phone", &format!("closed to your network ({network}); {OPEN_TO_PHONE}"));
            }
            Phone::NoNetwork => {}
        }
        if self.executors.is_empty() {
            put("executors", "none found, so the built-in demo answers; install a real one:");
            for command in INSTALL {
                put("  paste", command);
            }
        } else {
            put("executors", &self.executors.join(", "));
        }
        put("files", &self.config.display().to_string());
        put("logs", &self.logs.display().to_string());
        if let Some(code) = self.code.as_deref().and_then(qr::render) {
            let _ = write!(text, "\n{code}\n");
        }
        text.push_str("\nCtrl-C ends it; runs in progress go on.\n");
        text
    }
}

fn link(at: SocketAddr, path: &str, token: &str) -> String {
    format!("http://{at}{path}/?token={token}")
}

/// The address to open for one that is listened on.
fn reachable(listened: SocketAddr) -> SocketAddr {
    match listened.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listened.port()),
        _ => listened,
    }
}

fn executors(options: &Options, place: &Place) -> Vec<String> {
    let catalogue = Catalogue::new(CatalogueOptions {
        paths: options.paths.instance().clone(),
        home: place.home.clone(),
        env: place.env.clone(),
        program: options.program.clone(),
    });
    let real = |tool: &Tool| tool.available && !demo::is_demo(tool);
    catalogue.list().into_iter().filter(real).map(|tool| tool.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            owner: Ok("http://127.0.0.1:7690/?token=ab".into()),
            gateway: Some("http://127.0.0.1:7699/owner/?token=ab".into()),
            phone: Phone::NoNetwork,
            code: None,
            executors: vec!["codex".into(), "claude".into()],
            config: "/home/op/.config/remotelab".into(),
            logs: "/home/op/.config/remotelab/logs".into(),
        }
    }

    #[test]
    fn says_where_to_go() {
        assert_eq!(
            facts().render(),
            "RemoteLab is up.\n\n\
             owner: http://127.0.0.1:7690/?token=ab\n\
             gateway: http://127.0.0.1:7699/owner/?token=ab\n\
             executors: codex, claude\n\
             files: /home/op/.config/remotelab\n\
             logs: /home/op/.config/remotelab/logs\n\
             \nCtrl-C ends it; runs in progress go on.\n"
        );
    }

    #[test]
    fn says_what_is_missing() {
        let facts = Facts {
            owner: Err("the token in /x is not 64 hex digits".into()),
            gateway: None,
            phone: Phone::Closed(Ipv4Addr::new(192, 168, 1, 7)),
            executors: Vec::new(),
            ..facts()
        };
        let text = facts.render();
        let lines: Vec<&str> = text.lines().skip(2).take(5).collect();
        assert_eq!(
            lines,
            [
                "owner: no link (the token in /x is not 64 hex digits); `remotelab generate-token` helps",
                "phone: closed to your network (192.168.1.7); `remotelab up --lan` opens it, see docs/setup.md",
                "executors: none found, so the built-in demo answers; install a real one:",
                "  paste: npm install -g @openai/codex",
                "  paste: npm install -g @anthropic-ai/claude-code",
            ]
        );
    }

    #[test]
    fn draws_the_link_for_a_camera() {
        let facts = Facts { code: Some("http://192.168.1.7:7699/owner/?token=ab".into()), ..facts() };
        assert!(facts.render().contains('█'));
    }
}
