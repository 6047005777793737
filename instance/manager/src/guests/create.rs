//! Making a guest: its name and port are taken under the registry's lock, the rest is made without it, and
//! only a complete guest becomes ready. Whatever goes wrong leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use remotelab_config::auth::Login;
use remotelab_config::containment::{Containment, Isolation, Level};
use remotelab_config::defaults::GuestDefaults;
use remotelab_config::instance_name;
use remotelab_config::limits::{Limits, Quota};
use remotelab_config::registry::{self, Record, Registry, State};
use remotelab_config::{InstanceName, InstancePaths, OwnerPaths, atomic};
use serde_json::{Map, Value, json};

use super::discovered::{Discovered, discover};
use super::hostname::{self, Choice, Wish};
use super::mailbox::Addresses;
use super::tunnel::{self, Ingress};
use super::{Created, Guests, lifecycle, links, port};
use crate::operation::{self, Failed, Plan, Progress, Step, Verb};
use crate::outside::Outside;
use crate::supervisor::guest_log;

/// What guest is wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name as it was typed, or the next trial.
    pub name: Name,
    /// Its port, or the lowest free one.
    pub port: Option<u16>,
    /// Its host name.
    pub hostname: Wish,
    /// Its folder, absolute, or the default one.
    pub root: Option<PathBuf>,
    /// Days that a login lasts, 1–30.
    pub session_expiry_days: u32,
    /// A name and password beside the token.
    pub login: Option<Login>,
    /// Whether its runs get namespaces of their own or are not begun.
    pub isolated: bool,
    /// Whether the operator wants the mail provider's routes to follow.
    pub sync_mail_routes: bool,
}

/// How the guest is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Like this, after normalisation.
    Given(String),
    /// `trialN`, one above the highest.
    NextTrial,
}

/// Why there is no new guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is no name for a guest.
    #[error(transparent)]
    Name(#[from] instance_name::Error),
    /// There is such a guest, or a service that runs one.
    #[error("there is a guest {0} already")]
    Taken(InstanceName),
    /// No port.
    #[error(transparent)]
    Port(#[from] port::Error),
    /// No host name.
    #[error(transparent)]
    Hostname(#[from] hostname::Error),
    /// Another guest has the host name.
    #[error("host name {0} belongs to another guest")]
    HostnameTaken(String),
    /// The folder holds something, or is another guest's.
    #[error("the folder {} is in use", .0.display())]
    FolderInUse(PathBuf),
    /// The registry.
    #[error("the list of guests cannot be used")]
    Registry(#[from] registry::Error),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] operation::Error),
    /// The guest could not be made.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The guest cannot be described.
    #[error(transparent)]
    Describe(#[from] super::Error),
    /// The trash holds nothing of that name.
    #[error("there is no {0} in the trash")]
    NotInTrash(String),
    /// The trash holds more than one of that name.
    #[error("there are several of {0} in the trash; say which")]
    Several(String),
}

/// A guest as it is going to be, and what the operator should know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What is done for it.
    pub plan: Plan,
    /// What to know.
    pub warnings: Vec<String>,
}

impl Planned {
    /// What would be done, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        self.plan.text() + &warnings.collect::<String>()
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = self.plan.json();
        json["warnings"] = json!(self.warnings);
        json
    }
}

impl Guests {
    /// Makes a guest and returns when people can come in. `tell` hears how far it has come.
    ///
    /// # Errors
    /// See [`Error`]; nothing of the guest is left then.
    pub fn create(
        &self,
        request: &Request,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Created, Error> {
        let tools = self.tools(outside);
        operation::recover(&tools, &mut |_| {})?;
        let surroundings = self.surroundings()?;
        let mut warnings = Vec::new();
        let journal = operation::begin(&self.paths, |registry| {
            let planned = self.plan_create(request, registry, &surroundings)?;
            warnings = planned.warnings;
            Ok::<_, Error>(planned.plan)
        })?;
        let name = journal.plan().guest().clone();
        let mut skipped = operation::run(journal, &tools, tell)?;
        // A supervisor that came up in between has read a list without this guest.
        if skipped.iter().any(|(step, _)| *step == Step::Start) && outside.service.start(&name).is_ok() {
            skipped.retain(|(step, _)| *step != Step::Start);
        }
        let runs = !skipped.iter().any(|(step, _)| *step == Step::Start);
        warnings.extend(lifecycle::warnings(&skipped));
        self.describe(&name, request, runs, warnings)
    }

    /// Says what [`Guests::create`] would do for each of these, one after the other, and changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn plan_creates(&self, requests: &[Request]) -> Result<Vec<Planned>, Error> {
        let surroundings = self.surroundings()?;
        let mut registry = Registry::load(&self.paths.registry())?;
        let planned = requests.iter().map(|request| {
            let planned = self.plan_create(request, &registry, &surroundings)?;
            registry.guests.push(planned.plan.record.clone());
            Ok(planned)
        });
        planned.collect()
    }

    /// Returns names for several guests that are called after one: `share-1`, `share-2`, without those that are
    /// taken.
    ///
    /// # Errors
    /// When the name is no name, or what is taken cannot be found out.
    pub fn numbered(&self, name: &str, count: usize) -> Result<Vec<Name>, Error> {
        let registry = Registry::load(&self.paths.registry())?;
        let taken = taken(&registry, &discover(self.paths.home()));
        // A reserved word with a number behind it is none.
        let base =
            InstanceName::normalise(name).ok_or_else(|| instance_name::Error::Empty(name.to_owned()))?;
        let mut names = Vec::new();
        for number in 1_u32.. {
            if names.len() == count {
                break;
            }
            let name = InstanceName::for_new_guest(&format!("{base}-{number}"))?;
            if !taken.contains(&name) {
                names.push(Name::Given(name.to_string()));
            }
        }
        Ok(names)
    }

    pub(super) fn surroundings(&self) -> Result<Surroundings, Error> {
        Ok(Surroundings {
            rules: tunnel::load(self.paths.home())?,
            defaults: GuestDefaults::load(&self.paths.guest_defaults(), &self.env)?,
            discovered: discover(self.paths.home()),
        })
    }

    fn plan_create(
        &self,
        request: &Request,
        registry: &Registry,
        surroundings: &Surroundings,
    ) -> Result<Planned, Error> {
        let Surroundings { rules, defaults, discovered } = surroundings;
        let name = choose_name(&request.name, registry, discovered)?;
        let reserved = self.reserved_ports(registry, discovered, rules);
        let port = port::choose(request.port, self.first_port(), &reserved, port::is_free)?;
        let mut warnings = Vec::new();
        let hostname = choose_hostname(request, &name, defaults, rules, self.owner_port, &mut warnings)?;
        let same_host = |other: &Record| !hostname.is_empty() && other.hostname == hostname;
        if registry.guests.iter().any(same_host) {
            return Err(Error::HostnameTaken(hostname));
        }
        let way = self.way(&hostname, port, request.hostname.overwrite_dns);
        warnings.extend(way.warning);
        let root = request.root.clone().unwrap_or_else(|| default_root(&self.paths, &name, registry));
        check_root(&root, registry)?;
        let record = self.record_for(name, port, hostname, root, request);
        let furnish = Step::Furnish { login: request.login.clone() };
        let mut steps = vec![Step::Reserve, furnish, Step::Start];
        steps.extend(way.before);
        let commit = steps.len();
        steps.extend([Step::Publish, Step::Route]);
        if !request.hostname.more_follow {
            steps.extend(way.after);
        }
        Ok(Planned { plan: Plan { verb: Verb::Create, record, steps, commit }, warnings })
    }

    /// The lowest port that a guest gets.
    pub(super) fn first_port(&self) -> u16 {
        self.env.port(port::FIRST_SETTING).unwrap_or(port::FIRST)
    }

    pub(super) fn reserved_ports(
        &self,
        registry: &Registry,
        discovered: &Discovered,
        rules: &[Ingress],
    ) -> BTreeSet<u16> {
        let unreadable = registry.unreadable.iter().filter_map(|row| row["port"].as_u64());
        port::PRODUCT
            .into_iter()
            .chain([self.owner_port, self.gateway.port()])
            .chain(self.env.port("AGENT_MAILBOX_PORT"))
            .chain(registry.guests.iter().map(|record| record.port))
            .chain(unreadable.filter_map(|port| u16::try_from(port).ok()))
            .chain(discovered.ports.iter().copied())
            .chain(rules.iter().filter_map(|rule| rule.port))
            .collect()
    }

    fn record_for(
        &self,
        name: InstanceName,
        port: u16,
        hostname: String,
        root: PathBuf,
        request: &Request,
    ) -> Record {
        let paths = InstancePaths::below(&root);
        let log = guest_log(&self.paths, &name);
        Record {
            label: format!("remotelab-guest@{name}"),
            port,
            public_base_url: links::public_base(&hostname),
            local_base_url: links::local_base(port),
            hostname,
            instance_root: root,
            config_dir: paths.config().to_owned(),
            memory_dir: paths.memory().to_owned(),
            mailbox_root: paths.mailbox(),
            auth_file: paths.auth(),
            launch_agent_path: PathBuf::new(),
            error_log_path: log.clone(),
            log_path: log,
            session_expiry_days: request.session_expiry_days,
            created_at: format!("{:.3}", Timestamp::now()),
            id: hex::encode(rand::random::<[u8; 16]>()),
            state: State::Creating,
            stopped: false,
            containment: Containment {
                level: Level::On,
                isolation: if request.isolated { Isolation::Require } else { Isolation::Auto },
                ..Containment::default()
            },
            limits: Limits::default(),
            quota: Quota::default(),
            rest: Map::new(),
            name,
        }
    }

    fn describe(
        &self,
        name: &InstanceName,
        request: &Request,
        runs: bool,
        warnings: Vec<String>,
    ) -> Result<Created, Error> {
        let addresses = Addresses::load(self.paths.instance());
        let mut view = self.link(name)?;
        view.local_reachable = Some(runs);
        let (mail_routing_status, mail_routing_detail) =
            match (addresses.route_model(), request.sync_mail_routes) {
                ("", _) => ("unconfigured", "Owner mailbox is not initialized."),
                (_, false) => ("skipped", "As asked."),
                (_, true) => ("skipped", "Routes at the mail provider are left as they are."),
            };
        Ok(Created {
            view,
            mail_routing_status,
            mail_routing_detail,
            mail_route_model: addresses.route_model(),
            warnings,
        })
    }
}

/// What a new guest must fit into beside the registry.
pub(super) struct Surroundings {
    pub(super) rules: Vec<Ingress>,
    defaults: GuestDefaults,
    pub(super) discovered: Discovered,
}

pub(super) fn choose_name(
    wanted: &Name,
    registry: &Registry,
    discovered: &Discovered,
) -> Result<InstanceName, Error> {
    let taken = taken(registry, discovered);
    match wanted {
        Name::NextTrial => Ok(InstanceName::next_trial(&taken)),
        Name::Given(text) => {
            let name = InstanceName::for_new_guest(text)?;
            if taken.contains(&name) { Err(Error::Taken(name)) } else { Ok(name) }
        }
    }
}

/// All names that somebody has.
fn taken(registry: &Registry, discovered: &Discovered) -> BTreeSet<InstanceName> {
    let unreadable = registry.unreadable.iter().filter_map(|row| row["name"].as_str());
    let readable = registry.guests.iter().map(|record| record.name.clone());
    readable
        .chain(unreadable.filter_map(InstanceName::normalise))
        .chain(discovered.names.iter().cloned())
        .collect()
}

fn choose_hostname(
    request: &Request,
    name: &InstanceName,
    defaults: &GuestDefaults,
    rules: &[Ingress],
    owner_port: u16,
    warnings: &mut Vec<String>,
) -> Result<String, Error> {
    let owner = hostname::owner_hostname(rules, owner_port);
    let domain = defaults.public_domain.as_deref();
    match hostname::choose(&request.hostname, name, domain, owner)? {
        Choice::Public(hostname) => Ok(hostname),
        Choice::Local => Ok(String::new()),
        Choice::Unsure(owner) => {
            warnings.push(format!(
                "it has no host name: the domain above {owner} may not be yours; give one with --domain"
            ));
            Ok(String::new())
        }
    }
}

/// The folder of its name, or one beside it: a guest that was renamed has kept its own.
fn default_root(paths: &OwnerPaths, name: &InstanceName, registry: &Registry) -> PathBuf {
    let first = paths.guest_root(name);
    let is_taken = |root: &PathBuf| registry.guests.iter().any(|record| record.instance_root == *root);
    let later = (2..).map(|number: u32| first.with_file_name(format!("{name}-{number}")));
    std::iter::once(first.clone()).chain(later).find(|root| !is_taken(root)).unwrap_or(first.clone())
}

/// A guest's folder must be absent or empty, so that undoing a create can remove all of it.
pub(super) fn check_root(root: &Path, registry: &Registry) -> Result<(), Error> {
    let in_use = || Error::FolderInUse(root.to_owned());
    let overlaps = |record: &Record| {
        let other = &record.instance_root;
        !other.as_os_str().is_empty() && (root.starts_with(other) || other.starts_with(root))
    };
    if registry.guests.iter().any(overlaps) {
        return Err(in_use());
    }
    match fs::read_dir(root).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(in_use()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(atomic::Error::new("read", root, source).into()),
    }
}
