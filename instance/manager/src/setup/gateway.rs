//! The settings of the gateway that a way in needs.

use std::net::IpAddr;

use super::answers::{Answers, Mode};

/// Where the tunnel comes in: not where this machine does, for what comes by it is HTTPS outside.
pub(super) const TUNNEL_PORT: u16 = 7698;

const HEAD: &str = "# Written by `remotelab setup`, which leaves it alone once you have changed it.\n";

/// Returns the settings; `None` where the usual ones will do.
pub(super) fn settings(answers: &Answers, tailnet: Option<IpAddr>) -> Option<String> {
    let local = "\n[listener.local]\nbind = \"127.0.0.1:7699\"\n";
    match (answers.mode, tailnet) {
        (Mode::Cloudflare, _) => Some(format!(
            "{HEAD}{local}\n[listener.tunnel]\nbind = \"127.0.0.1:{TUNNEL_PORT}\"\nscheme = \"https\"\n\
             client_ip = \"cf-connecting-ip\"\ndomains = [\"{domain}\"]\n\n[service.owner]\nhosts = [\"{host}\"]\n",
            domain = answers.domain,
            host = answers.hostname,
        )),
        (Mode::Cpolar, _) => Some(format!(
            "{HEAD}{local}\n[listener.tunnel]\nbind = \"127.0.0.1:{TUNNEL_PORT}\"\nscheme = \"https\"\n\
             client_ip = \"x-forwarded-for:last\"\n"
        )),
        (Mode::Tailscale, Some(ip)) => {
            Some(format!("{HEAD}{local}\n[listener.tailnet]\nbind = \"{ip}:7699\"\n"))
        }
        (Mode::Lan, _) => Some(format!("{HEAD}\n[listener.lan]\nbind = \"0.0.0.0:7699\"\n")),
        (Mode::Localhost | Mode::Tailscale, _) => None,
    }
}
