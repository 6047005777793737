//! Host names that lead to guests, by a tunnel of which the client and the interface are stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use remotelab_config::{Env, InstanceName};
use remotelab_manager::guests::create::{Error as CreateError, Name};
use remotelab_manager::guests::hostname::Wish;
use remotelab_manager::guests::{Created, Files, Guests, NewName, Request};
use remotelab_manager::tunnel::{CloudflareError, Dns, DnsError, Outcome, Settings, examine};
use serde_json::json;

use crate::cloudflare::{Cloudflare, refused};
use crate::guests::given;
use crate::world::{World, guests};

const ID: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

/// A tunnel with the owner's host name.
struct Tunnel {
    world: World,
    env: Env,
    before: String,
}

impl Tunnel {
    fn new() -> Self {
        let world = World::new();
        let before = format!(
            "tunnel: {ID}\n# mine\ningress:\n  - hostname: remotelab.example.com\n    \
             service: http://127.0.0.1:{}\n  - service: http_status:404\n",
            world.owner_port()
        );
        world.write(".cloudflared/config.yml", &before);
        let mut env = world.env();
        env.set("PATH", format!("{}:/usr/bin:/bin", world.path().join("bin").display()));
        // Whatever runs on this machine is not asked.
        let tunnel = Self { world, env, before };
        tunnel.program("systemctl", "[ \"$1\" = --user ] && [ \"$4\" != cloudflared.service ] || exit 3");
        tunnel
    }

    /// A program that notes how it was called.
    fn program(&self, name: &str, script: &str) {
        let log = self.world.path().join("said");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display());
        self.world.write(&format!("bin/{name}"), &text);
        let path = self.world.path().join("bin").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn with_cloudflare(mut self) -> (Self, Cloudflare) {
        let cloudflare = Cloudflare::start();
        self.env.set("CLOUDFLARE_API_BASE_URL", cloudflare.base());
        self.env.set("CLOUDFLARE_API_TOKEN", "Secret");
        (self, cloudflare)
    }

    fn said(&self) -> Vec<String> {
        let said = fs::read_to_string(self.world.path().join("said")).unwrap_or_default();
        said.lines()
            .filter(|line| !line.contains("is-active") && !line.contains("validate"))
            .map(str::to_owned)
            .collect()
    }

    fn guests(&self) -> Guests {
        guests(&self.env, self.world.path())
    }

    fn create(&self, request: &Request) -> Result<Created, CreateError> {
        self.guests().create(request, self.world.system().outside(), &mut |_| {})
    }

    fn path(&self) -> PathBuf {
        self.world.path().join(".cloudflared/config.yml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn settings(&self) -> Settings {
        Settings::find(&self.world.paths(), &self.env).unwrap()
    }

    fn backups(&self) -> usize {
        let entries = fs::read_dir(self.world.path().join(".cloudflared")).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".bak."))
            .count()
    }
}

#[test]
fn a_guest_is_led_here_and_leaves_nothing_behind() {
    let tunnel = Tunnel::new();
    tunnel.program("cloudflared", "exit 0");
    fs::set_permissions(tunnel.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let created = tunnel.create(&given("demo")).unwrap();
    assert_eq!(created.warnings, Vec::<String>::new());
    let port = created.view.record.port;
    let rule = format!("  - hostname: demo.example.com\n    service: http://127.0.0.1:{port}\n");
    assert_eq!(
        tunnel.text(),
        tunnel.before.replace("  - service: http_status", &format!("{rule}  - service: http_status"))
    );
    assert_eq!(fs::metadata(tunnel.path()).unwrap().permissions().mode() & 0o777, 0o640);
    let restart = "systemctl --user restart remotelab-tunnel.service";
    assert_eq!(tunnel.said(), [&format!("cloudflared tunnel route dns {ID} demo.example.com"), restart]);
    let name = InstanceName::normalise("demo").unwrap();
    let to = NewName { name: "other".into(), hostname: None, keep_hostname: false };
    tunnel.guests().rename(&name, &to, tunnel.world.system().outside(), &mut |_| {}).unwrap();
    assert_eq!(
        tunnel.text(),
        tunnel.before.replace(
            "  - service: http_status",
            &format!("{}  - service: http_status", rule.replace("demo", "other"))
        )
    );
    let name = InstanceName::normalise("other").unwrap();
    let deleted =
        tunnel.guests().delete(&name, Files::Purge, tunnel.world.system().outside(), &mut |_| {}).unwrap();
    assert_eq!(deleted.warnings, ["remove the name other.example.com: nothing here can"]);
    assert_eq!(tunnel.text(), tunnel.before);
    assert!(!tunnel.settings().is_stale());
    assert_eq!(tunnel.said().iter().filter(|line| *line == restart).count(), 3);
    assert!((1..=5).contains(&tunnel.backups()));
}

#[test]
fn names_are_made_and_removed_by_the_interface() {
    let (tunnel, cloudflare) = Tunnel::new().with_cloudflare();
    cloudflare
        .add(json!({"id": "t", "type": "TXT", "name": "demo.example.com", "content": "x", "comment": null}));
    cloudflare.answer_first(429, "retry-after: 0\r\n", json!({}));
    let created = tunnel.create(&given("demo")).unwrap();
    assert_eq!(created.warnings, Vec::<String>::new());
    assert_eq!(cloudflare.changes(), ["POST /client/v4/zones/z1/dns_records"]);
    let record = cloudflare.records().remove(1);
    assert_eq!(
        record,
        json!({"type": "CNAME", "name": "demo.example.com", "content": format!("{ID}.cfargotunnel.com"),
            "proxied": true, "ttl": 1, "comment": "made by RemoteLab", "id": "r1"})
    );
    let name = InstanceName::normalise("demo").unwrap();
    let deleted =
        tunnel.guests().delete(&name, Files::Keep, tunnel.world.system().outside(), &mut |_| {}).unwrap();
    assert_eq!(deleted.warnings, Vec::<String>::new());
    assert_eq!(cloudflare.records().len(), 1, "what is not ours stays");
}

#[test]
fn a_name_of_somebody_else_is_taken_only_when_told_to() {
    let (tunnel, cloudflare) = Tunnel::new().with_cloudflare();
    for (id, kind) in [("a", "TXT"), ("b", "TXT"), ("c", "A")] {
        cloudflare.add(json!({"id": id, "type": kind, "name": "demo.example.com", "content": "192.0.2.1"}));
    }
    let error = tunnel.create(&given("demo")).unwrap_err();
    assert_eq!(error.to_string(), "demo was not created");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "demo.example.com leads to 192.0.2.1 already; `--overwrite-dns` changes that");
    assert_eq!(tunnel.text(), tunnel.before);
    assert_eq!((tunnel.world.registry().guests.len(), tunnel.world.operations()), (0, 0));
    assert_eq!(tunnel.world.system().started(), Vec::<String>::new());
    assert_eq!(cloudflare.changes(), Vec::<String>::new());
    let wish = Wish { overwrite_dns: true, ..Wish::default() };
    tunnel.create(&Request { hostname: wish, ..given("demo") }).unwrap();
    assert_eq!(cloudflare.changes(), ["PUT /client/v4/zones/z1/dns_records/c"]);
}

#[test]
fn what_cloudflare_says_is_told() {
    let (tunnel, cloudflare) = Tunnel::new().with_cloudflare();
    let dns = || Dns::find(&tunnel.world.paths(), &tunnel.env).unwrap();
    let point = |hostname: &str| match dns().point(hostname, false) {
        Err(DnsError::Cloudflare(error)) => error.to_string(),
        outcome => panic!("{outcome:?}"),
    };
    cloudflare.answer_first(403, "", refused(9109, "Invalid access token"));
    assert_eq!(point("demo.example.com"), "Cloudflare says: Invalid access token (code 9109)");
    cloudflare.answer_first(502, "", json!("<html>"));
    assert_eq!(point("demo.example.com"), "Cloudflare answered with status 502 and no reason");
    cloudflare.answer_first(429, "retry-after: 60\r\n", json!({}));
    assert_eq!(point("demo.example.com"), "Cloudflare wants fewer requests; try again in 60 s");
    assert_eq!(point("demo.example.org"), "no zone of the account holds demo.example.org");
    assert!(matches!(dns().point("demo.example.com", false), Ok(Outcome::Done)));
    assert!(matches!(dns().point("demo.example.com", false), Ok(Outcome::Already)));
    let error = CloudflareError::NoZone("x".into());
    assert!(!format!("{error:?}{:?}", dns()).contains("Secret"));
}

#[test]
fn one_rule_for_all_names_is_all_that_is_needed() {
    let tunnel = Tunnel::new();
    let text = tunnel.before.replace(
        "  - service: http_status",
        "  - hostname: '*.example.com'\n    service: http://127.0.0.1:7699\n  - service: http_status",
    );
    tunnel.world.write(".cloudflared/config.yml", &text);
    let created = tunnel.create(&given("demo")).unwrap();
    assert_eq!(created.view.record.hostname, "demo.example.com");
    assert_eq!((created.warnings, tunnel.text(), tunnel.said()), (vec![], text, vec![]));
}

#[test]
fn settings_that_are_odd_or_a_link_stay_what_they_are() {
    let tunnel = Tunnel::new();
    let odd = tunnel.before.replace("  - service: http_status:404", "  - {service: http_status:404}");
    tunnel.world.write(".cloudflared/config.yml", &odd);
    let created = tunnel.create(&Request { name: Name::Given("a".into()), ..given("a") }).unwrap();
    assert!(
        created.warnings[0].contains("is written in a way that is not understood: line 6"),
        "{created:?}"
    );
    assert_eq!(tunnel.text(), odd);
    let real = tunnel.world.path().join("real.yml");
    fs::write(&real, &tunnel.before).unwrap();
    fs::remove_file(tunnel.path()).unwrap();
    symlink(&real, tunnel.path()).unwrap();
    tunnel.create(&given("b")).unwrap();
    assert!(tunnel.path().is_symlink());
    assert!(fs::read_to_string(real).unwrap().contains("b.example.com"));
}

#[test]
fn what_the_client_would_not_take_is_not_written() {
    let tunnel = Tunnel::new();
    tunnel.program("cloudflared", "[ \"$4\" = ingress ] && { echo 'bad rule' >&2; exit 1; }; exit 0");
    let error = tunnel.settings().set("x.example.com", "http://127.0.0.1:1").unwrap_err();
    assert_eq!(error.to_string(), "cloudflared would not take the settings of the tunnel: bad rule");
    assert_eq!(tunnel.text(), tunnel.before);
    assert_eq!(tunnel.backups(), 0);
    assert!(tunnel.settings().set("x.example.com", "what").is_err());
}

#[test]
fn several_guests_start_the_client_anew_once() {
    let tunnel = Tunnel::new();
    for name in ["a", "b"] {
        let wish = Wish { more_follow: true, ..Wish::default() };
        tunnel.create(&Request { hostname: wish, ..given(name) }).unwrap();
    }
    assert_eq!(tunnel.said(), Vec::<String>::new());
    let findings = examine(&tunnel.world.paths(), &tunnel.env, &tunnel.world.registry().guests, 7699);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].fix, "remotelab tunnel reconnect");
    assert_eq!(tunnel.guests().reconnect(), None);
    assert_eq!(tunnel.guests().reconnect(), None);
    assert_eq!(tunnel.said(), ["systemctl --user restart remotelab-tunnel.service"]);
}
