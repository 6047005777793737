//! Guest instances: making them, listing them, and the links by which people come in.
//!
//! Everything here blocks and is meant for short-lived commands. What a running system is asked to do
//! goes through [`Outside`](crate::outside::Outside).

mod bounds;
mod converge;
pub mod create;
mod delete;
mod discovered;
pub mod hostname;
mod lifecycle;
pub mod links;
mod mailbox;
pub mod pattern;
pub mod port;
pub mod reach;
mod rename;
mod report;
pub(crate) mod seed;
mod trash;
mod tunnel;
mod view;
mod ways;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remotelab_config::auth::{self, Auth};
use remotelab_config::defaults::GuestDefaults;
use remotelab_config::registry::{self, Record, Registry};
use remotelab_config::{Env, InstanceName, OwnerPaths, atomic, chat, lock};

use crate::control::{self, Child};
use crate::definition;
use crate::operation::{self, Failed, Tools};
use crate::outside::{Gateway, Outside, Service};
use mailbox::Addresses;

pub use bounds::Bounds;
pub use converge::{Converged, Convergence, Drift, Status, Wanted};
pub use create::Request;
pub use delete::{Deleted, Files};
pub use lifecycle::Changed;
pub use rename::NewName;
pub use report::{Report, Row};
pub use trash::Entry;
pub(crate) use tunnel::http_port;
pub use view::{Created, View};

/// What commands about guests work on.
#[derive(Clone, Debug)]
pub struct Guests {
    paths: OwnerPaths,
    env: Env,
    owner_port: u16,
    gateway: SocketAddr,
}

/// Why a command about guests failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry cannot be read, locked or written.
    #[error("the list of guests cannot be used")]
    Registry(#[from] registry::Error),
    /// The defaults file, or another file of the owner, cannot be read.
    #[error(transparent)]
    File(#[from] atomic::Error),
    /// No such guest.
    #[error("there is no guest {0}")]
    Unknown(InstanceName),
    /// No guest has a name like this.
    #[error("there is no guest like {0}")]
    NoneLike(String),
    /// Another command converges.
    #[error("another command converges guests")]
    Converging,
    /// A lock cannot be used.
    #[error(transparent)]
    Lock(lock::Error),
    /// A service definition cannot be used.
    #[error("{} cannot be used", .0.display())]
    Definition(PathBuf, #[source] definition::Error),
    /// It is to stay stopped.
    #[error("{0} was stopped")]
    Stopped(InstanceName),
    /// It is wanted, but does not come up.
    #[error("{name} does not run: {reason}")]
    Down {
        /// The guest.
        name: InstanceName,
        /// Why.
        reason: String,
    },
    /// What a record names is more than its guest's.
    #[error("{} does not belong to this guest alone; its files can only be kept where they are", .0.display())]
    NotItsOwn(PathBuf),
    /// What would be allowed holds more than may be seen.
    #[error("{} holds files of the operator or of other guests", .0.display())]
    TooMuch(PathBuf),
    /// The name is no name for a guest.
    #[error(transparent)]
    Name(#[from] remotelab_config::instance_name::Error),
    /// A host name is none.
    #[error(transparent)]
    Hostname(#[from] hostname::Error),
    /// Another guest has the host name.
    #[error("host name {0} belongs to another guest")]
    HostnameTaken(String),
    /// What keeps guests running.
    #[error(transparent)]
    Service(#[from] control::Error),
    /// A step cannot be taken.
    #[error(transparent)]
    Step(#[from] operation::Error),
    /// The change failed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Guests {
    /// Works on the owner's folders; `gateway` is where the local front door listens.
    #[must_use]
    pub fn new(paths: OwnerPaths, env: Env, gateway: SocketAddr) -> Self {
        let owner_port = chat::Settings::from_env(&env, paths.home()).port;
        Self { paths, env, owner_port, gateway }
    }

    /// Describes all guests without any network access, in natural order of their names.
    ///
    /// # Errors
    /// See [`Error`]; a damaged file of one guest is told in its own entry.
    pub fn links(&self) -> Result<Vec<View>, Error> {
        let records = Registry::load(&self.paths.registry())?.guests;
        self.views(records)
    }

    /// Describes the guests whose names fit a pattern, without any network access.
    ///
    /// # Errors
    /// [`Error::NoneLike`] and others.
    pub fn links_like(&self, pattern: &str) -> Result<Vec<View>, Error> {
        let mut records = Registry::load(&self.paths.registry())?.guests;
        records.retain(|record| pattern::fits(pattern, record.name.as_str()));
        if records.is_empty() {
            return Err(Error::NoneLike(pattern.to_owned()));
        }
        self.views(records)
    }

    /// Describes one guest without any network access.
    ///
    /// # Errors
    /// [`Error::Unknown`] and others.
    pub fn link(&self, name: &InstanceName) -> Result<View, Error> {
        let record = self.record(name)?;
        self.view(record)
    }

    /// Describes all guests without their tokens, and whether each runs. Nothing is asked over the network.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list(&self, service: &dyn Service) -> Result<Vec<View>, Error> {
        let mut views = self.links()?;
        let unknown = note_processes(&mut views, service);
        // Something else may run them.
        reach::probe_locally(unknown);
        for view in &mut views {
            view.token = None;
            view.process = None;
        }
        Ok(views)
    }

    /// Describes one guest, what runs for it, and whether it answers.
    ///
    /// # Errors
    /// [`Error::Unknown`] and others.
    pub fn show(&self, name: &InstanceName, service: &dyn Service) -> Result<View, Error> {
        let mut view = self.link(name)?;
        note_processes(std::slice::from_mut(&mut view), service);
        reach::probe(std::slice::from_mut(&mut view));
        Ok(view)
    }

    /// Asks guests by every way that leads to them. Takes at most a few seconds, and needs a TLS provider in the
    /// process. One that sleeps is not asked: nothing of it could answer.
    pub fn check(&self, views: &mut [View], service: &dyn Service) {
        note_processes(views, service);
        reach::probe(views);
        views.iter_mut().for_each(|view| view.process = None);
    }

    fn tools<'a>(&'a self, outside: Outside<'a>) -> Tools<'a> {
        Tools { paths: &self.paths, env: &self.env, outside }
    }

    fn record(&self, name: &InstanceName) -> Result<Record, Error> {
        let registry = Registry::load(&self.paths.registry())?;
        let record = registry.find(name).cloned();
        record.ok_or_else(|| Error::Unknown(name.clone()))
    }

    fn view(&self, record: Record) -> Result<View, Error> {
        let mut views = self.views(vec![record])?;
        Ok(views.remove(0))
    }

    fn views(&self, records: Vec<Record>) -> Result<Vec<View>, Error> {
        let defaults = GuestDefaults::load(&self.paths.guest_defaults(), &self.env)?;
        let addresses = Addresses::load(self.paths.instance());
        let door =
            (!defaults_have_base(&defaults) && Gateway::new(&self.paths).runs()).then_some(self.gateway);
        let view = |record: Record| {
            let (token, problem) = token(&record);
            View {
                bridge_base: defaults.bridge_base(&record.name).unwrap_or_default(),
                gateway_base: door.map(|door| links::gateway_base(door, &record.name)),
                mailbox: addresses.of(&record.name),
                token,
                problem,
                process: None,
                asleep: false,
                reached: None,
                local_reachable: None,
                public_reachable: None,
                record,
            }
        };
        Ok(records.into_iter().map(view).collect())
    }
}

/// Returns the base of the owner's own host name, where a tunnel leads one to its port.
///
/// # Errors
/// When the tunnel's settings exist and cannot be read.
pub fn owner_public_base(home: &Path, port: u16) -> Result<Option<String>, atomic::Error> {
    let rules = tunnel::load(home)?;
    Ok(hostname::owner_hostname(&rules, port).map(links::public_base))
}

/// Notes what runs for each guest and returns those of which the service knows nothing.
fn note_processes<'a>(views: &'a mut [View], service: &dyn Service) -> Vec<&'a mut View> {
    let mut children: BTreeMap<String, Child> = match service.report() {
        Ok(children) => children.into_iter().map(|child| (child.name.clone(), child)).collect(),
        Err(_) => BTreeMap::new(),
    };
    for view in views.iter_mut() {
        view.process = children.remove(view.record.name.as_str());
        view.local_reachable = view.process.as_ref().map(|process| process.state == control::State::Ready);
        view.asleep = view.process.as_ref().is_some_and(|process| process.state == control::State::Asleep);
    }
    views.iter_mut().filter(|view| view.process.is_none()).collect()
}

fn defaults_have_base(defaults: &GuestDefaults) -> bool {
    defaults.bridge_root.is_some() || defaults.bridge_template.is_some()
}

/// Reads a guest's token. None is no problem, a damaged one is this guest's problem.
fn token(record: &Record) -> (Option<String>, Option<String>) {
    match Auth::load(&record.auth_path()) {
        Ok(auth) => (Some(auth.token.reveal()), None),
        Err(auth::Error::Missing(_)) => (None, None),
        Err(error) => (None, Some(error.to_string())),
    }
}
