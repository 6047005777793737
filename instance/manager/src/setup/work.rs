//! Doing it, one thing after the other.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use remotelab_config::auth::{self, Auth, Login};
use remotelab_config::{Env, OwnerPaths, atomic, password};
use serde_json::{Map, Value};

use super::answers::{Answers, Mode, Service};
use super::gateway::{TUNNEL_PORT, settings as gateway_settings};
use super::{Item, Report, State, units};
use crate::outside::Tool;
use crate::tunnel::{self, Dns, Settings};

/// The machine to set up.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The operator's folders.
    pub paths: &'a OwnerPaths,
    /// The operator's environment.
    pub env: &'a Env,
    /// This program.
    pub program: &'a Path,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Sets a machine up by these answers. What cannot be done is left to a person, and told.
///
/// # Errors
/// When the operator's own folders cannot be used; nothing else is done then.
pub fn run(machine: &Machine<'_>, answers: &Answers) -> Result<Report, auth::Error> {
    let mut work = Work { machine, answers, report: Report::default() };
    work.login()?;
    work.defaults();
    work.gateway();
    work.tunnel();
    work.service();
    work.reconnect();
    work.mailbox();
    Ok(work.report)
}

struct Work<'a> {
    machine: &'a Machine<'a>,
    answers: &'a Answers,
    report: Report,
}

impl Work<'_> {
    fn note(&mut self, what: &str, state: State, detail: impl Into<String>) {
        self.report.items.push(Item { what: what.to_owned(), state, detail: detail.into() });
    }

    /// Does something that is needed, unless it is only to be told.
    fn do_it<E: std::error::Error>(&mut self, what: &str, detail: &str, act: impl FnOnce() -> Result<(), E>) {
        if self.machine.dry_run {
            return self.note(what, State::Planned, detail);
        }
        match act() {
            Ok(()) => self.note(what, State::Done, detail),
            Err(error) => self.note(what, State::Left, tunnel::told(&error)),
        }
    }

    fn login(&mut self) -> Result<(), auth::Error> {
        let file = self.machine.paths.instance().auth();
        let (mut auth, is_new) = match Auth::load(&file) {
            Err(auth::Error::Missing(_)) => (Auth::generate(), true),
            outcome => (outcome?, false),
        };
        if !is_new {
            self.note("access token", State::Kept, "`remotelab generate-token` replaces it");
        } else if self.machine.dry_run {
            self.note("access token", State::Planned, "");
        } else {
            atomic::create_private_dir(self.machine.paths.instance().config())?;
            auth.save(&file)?;
            self.note("access token", State::Done, "the link with it is shown by `remotelab up`");
        }
        let Some(from) = &self.answers.password_file else {
            let detail = "`remotelab set-password`, if people are to come in by a name";
            let state = if auth.login.is_some() { State::Kept } else { State::Left };
            self.note("password", state, if state == State::Kept { "" } else { detail });
            return Ok(());
        };
        let text = match fs::read_to_string(from) {
            Ok(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
            Err(error) => {
                self.note("password", State::Left, format!("{} cannot be read: {error}", from.display()));
                return Ok(());
            }
        };
        let username = self.answers.username.clone();
        let is_so = auth
            .login
            .as_ref()
            .is_some_and(|login| login.username == username && password::verify(&text, &login.password_hash));
        if is_so {
            self.note("password", State::Kept, "");
        } else {
            auth.login = Some(Login { username, password_hash: password::hash(&text) });
            self.do_it("password", "", || auth.save(&file));
        }
        Ok(())
    }

    /// The domain below which guests get host names.
    fn defaults(&mut self) {
        if self.answers.domain.is_empty() {
            return;
        }
        let (what, file) = ("domain of guests", self.machine.paths.guest_defaults());
        let mut defaults: Map<String, Value> = match atomic::read_json(&file) {
            Ok(defaults) => defaults.unwrap_or_default(),
            Err(error) => return self.note(what, State::Left, tunnel::told(&error)),
        };
        match defaults.get("publicDomain").and_then(Value::as_str) {
            Some(domain) if domain == self.answers.domain => self.note(what, State::Kept, domain),
            Some(domain) if !domain.is_empty() => {
                let detail = format!("it is {domain} in {}", file.display());
                self.note(what, State::Left, detail);
            }
            _ => {
                defaults.insert("publicDomain".to_owned(), self.answers.domain.clone().into());
                self.do_it(what, &self.answers.domain.clone(), || atomic::write_json(&file, &defaults));
            }
        }
    }

    fn gateway(&mut self) {
        let tailnet = self.tailnet();
        let Some(text) = gateway_settings(self.answers, tailnet) else {
            return;
        };
        let file = self.machine.paths.gateway_settings();
        self.write("gateway", &file, &text, "");
    }

    /// The machine's own address in the operator's tailnet.
    fn tailnet(&mut self) -> Option<IpAddr> {
        if self.answers.mode != Mode::Tailscale {
            return None;
        }
        let status = Tool::find("tailscale", self.machine.env)
            .ok_or_else(|| io::Error::other("tailscale is not installed"))
            .and_then(|tool| tool.done(&["status", "--json"]));
        let status: Value = match status.map(|text| serde_json::from_str(&text).unwrap_or_default()) {
            Ok(status) => status,
            Err(error) => {
                self.note("tailscale", State::Left, format!("{error}; then `tailscale up` and this again"));
                return None;
            }
        };
        let addresses = status["Self"]["TailscaleIPs"].as_array().into_iter().flatten();
        let ip = addresses.filter_map(|ip| ip.as_str()?.parse().ok()).find(IpAddr::is_ipv4);
        let name = status["Self"]["DNSName"].as_str().unwrap_or_default().trim_end_matches('.');
        match ip {
            Some(_) => self.note("tailscale", State::Kept, format!("http://{name}:7699/owner/")),
            None => self.note("tailscale", State::Left, "`tailscale up`, then this again"),
        }
        ip
    }

    fn tunnel(&mut self) {
        match self.answers.mode {
            Mode::Cloudflare => {}
            Mode::Cpolar => {
                let detail = format!("`cpolar http {TUNNEL_PORT}`, as a service of your own");
                return self.note("tunnel", State::Left, detail);
            }
            _ => return,
        }
        let client = Tool::find("cloudflared", self.machine.env);
        if Settings::find(self.machine.paths, self.machine.env).is_none() {
            self.make_tunnel(client.as_ref());
        }
        let Some(settings) = Settings::find(self.machine.paths, self.machine.env) else {
            return;
        };
        let wildcard = format!("*.{}", self.answers.domain);
        let service = format!("http://127.0.0.1:{TUNNEL_PORT}");
        for hostname in [self.answers.hostname.clone(), wildcard] {
            let what = format!("tunnel leads {hostname} to {service}");
            let is_so = settings.read().is_ok_and(|document| {
                document.rules().iter().any(|rule| rule.hostname == hostname && rule.service == service)
            });
            if is_so {
                self.note(&what, State::Kept, "");
            } else {
                self.do_it(&what, "", || settings.set(&hostname, &service).map(drop));
            }
            self.name(&hostname);
        }
    }

    /// Makes a tunnel where there is none.
    fn make_tunnel(&mut self, client: Option<&Tool>) {
        let (what, home) = ("tunnel", self.machine.paths.home());
        let Some(client) = client else {
            return self.note(what, State::Left, "install cloudflared, then this again");
        };
        if !home.join(".cloudflared/cert.pem").exists() {
            return self.note(what, State::Left, "`cloudflared tunnel login` in a browser, then this again");
        }
        self.do_it(what, "", || {
            let said = client.done(&["tunnel", "create", "remotelab"])?;
            let id = said.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_hexdigit()));
            let id = id
                .rev()
                .find(|word| word.len() == 36)
                .ok_or_else(|| io::Error::other("cloudflared does not say the tunnel's id"))?;
            let folder = home.join(".cloudflared");
            let text = format!(
                "tunnel: {id}\ncredentials-file: {}\n\ningress:\n  - service: http_status:404\n",
                folder.join(format!("{id}.json")).display()
            );
            atomic::write_private(&folder.join("config.yml"), text.as_bytes()).map_err(|error| error.source)
        });
    }

    /// Has a host name lead to the tunnel.
    fn name(&mut self, hostname: &str) {
        let Some(dns) = Dns::find(self.machine.paths, self.machine.env) else {
            return;
        };
        let what = format!("name {hostname}");
        if self.machine.dry_run {
            return self.note(&what, State::Planned, "");
        }
        match dns.point(hostname, self.answers.overwrite_dns) {
            Ok(tunnel::Outcome::Done) => self.note(&what, State::Done, ""),
            Ok(tunnel::Outcome::Already) => self.note(&what, State::Kept, ""),
            Ok(tunnel::Outcome::Nobody) => {
                let detail = format!("`cloudflared tunnel route dns <tunnel> {hostname}`");
                self.note(&what, State::Left, detail);
            }
            Err(error) => self.note(&what, State::Left, tunnel::told(&error)),
        }
    }

    fn service(&mut self) {
        if self.answers.service == Service::None {
            return self.note("service", State::Left, "`remotelab up` starts everything");
        }
        let Some(systemctl) = Tool::find("systemctl", self.machine.env) else {
            return self.note(
                "service",
                State::Left,
                "there is no systemd: `remotelab up` starts everything",
            );
        };
        let folder = self.machine.paths.home().join(".config/systemd/user");
        let mut is_changed = self.write_unit(&folder, "remotelab.service", &units::up(self.machine.program));
        let mut names = vec!["remotelab.service"];
        let settings = Settings::find(self.machine.paths, self.machine.env);
        let client = Tool::find("cloudflared", self.machine.env);
        if let (Mode::Cloudflare, Some(settings), Some(client)) = (self.answers.mode, settings, client) {
            let text = units::tunnel(client.program(), settings.path());
            is_changed |= self.write_unit(&folder, "remotelab-tunnel.service", &text);
            names.push("remotelab-tunnel.service");
        }
        for name in names {
            let is_on =
                |verb: &str| systemctl.run(&["--user", verb, "--quiet", name]).is_ok_and(|said| said.is_well);
            if !is_changed && is_on("is-enabled") && is_on("is-active") {
                self.note(&format!("{name} runs"), State::Kept, "");
                continue;
            }
            self.do_it(&format!("{name} runs"), "", || {
                systemctl.done(&["--user", "daemon-reload"])?;
                systemctl.done(&["--user", "enable", "--now", name]).map(drop)
            });
        }
        self.linger();
    }

    /// Has a client of the tunnel that ran before read what was changed.
    fn reconnect(&mut self) {
        let settings = Settings::find(self.machine.paths, self.machine.env);
        if let Some(settings) = settings.filter(Settings::is_stale) {
            self.do_it("the tunnel's client has read its settings", "", || settings.reconnect());
        }
    }

    /// Has it run while nobody is logged in.
    fn linger(&mut self) {
        let what = "runs while you are logged out";
        let user = self.machine.env.first_of(&["USER", "LOGNAME"]).map(|(_, user)| user.to_owned());
        let (Some(loginctl), Some(user)) = (Tool::find("loginctl", self.machine.env), user) else {
            return self.note(what, State::Left, "`loginctl enable-linger`");
        };
        let said = loginctl.done(&["show-user", &user, "--property=Linger"]);
        if said.is_ok_and(|said| said.trim() == "Linger=yes") {
            return self.note(what, State::Kept, "");
        }
        self.do_it(what, "", || loginctl.done(&["enable-linger", &user]).map(drop));
    }

    fn mailbox(&mut self) {
        if self.answers.mailbox.is_empty() {
            return;
        }
        let identity = self.machine.paths.instance().mailbox().join("identity.json");
        let state = if identity.exists() { State::Kept } else { State::Left };
        let detail = format!("`remotelab mail init` for {}, see docs/mail.md", self.answers.mailbox);
        self.note("mailbox", state, if state == State::Kept { String::new() } else { detail });
    }

    fn write_unit(&mut self, folder: &Path, name: &str, text: &str) -> bool {
        let before = self.report.items.len();
        self.write(name, &folder.join(name), text, units::MARK);
        self.report.items[before..].iter().any(|item| item.state == State::Done)
    }

    /// Writes a file, unless somebody else has written or changed it. One that begins with the mark is ours.
    fn write(&mut self, what: &str, file: &Path, text: &str, mark: &str) {
        let old = match atomic::read(file) {
            Ok(old) => old.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => return self.note(what, State::Left, tunnel::told(&error)),
        };
        match old {
            Some(old) if old == text => self.note(what, State::Kept, ""),
            Some(old) if mark.is_empty() || !old.starts_with(mark) => {
                let detail = format!("{} is yours; it would need:\n{text}", file.display());
                self.note(what, State::Left, detail);
            }
            _ => self.do_it(what, &file.display().to_string(), || {
                if let Some(folder) = file.parent() {
                    atomic::create_private_dir(folder)?;
                }
                atomic::write_private(file, text.as_bytes())
            }),
        }
    }
}
