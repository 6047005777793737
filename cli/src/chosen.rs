//! The instance that a command about files works on.

use anyhow::Context;
use remotelab_config::chat::{OWNER_PORT, Settings};
use remotelab_config::containment::Containment;
use remotelab_config::registry::Registry;
use remotelab_config::{Env, InstanceName, InstancePaths};

use crate::place::Place;

/// Which instance.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Which {
    /// The guest that it is about; without it the instance that the environment chooses, mostly the owner.
    #[arg(long = "instance", value_name = "NAME", display_order = 800)]
    name: Option<String>,
}

/// An instance as its files tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// `owner`, or the guest's name.
    pub(crate) name: String,
    pub(crate) paths: InstancePaths,
    /// Where its chat server listens, where that is known.
    pub(crate) port: Option<u16>,
    /// Its address from outside, if it has one.
    pub(crate) public_base: Option<String>,
    /// What was decided about its runs, where it is a guest.
    pub(crate) containment: Option<Containment>,
    /// What its server is set to.
    pub(crate) settings: Settings,
}

impl Which {
    /// The one of a name.
    pub(crate) fn named(name: Option<String>) -> Self {
        Self { name }
    }

    /// Tells whether a guest was named.
    pub(crate) fn is_named(&self) -> bool {
        self.name.as_ref().is_some_and(|name| name != "owner")
    }

    /// Finds it.
    pub(crate) fn find(&self, place: &Place) -> anyhow::Result<Chosen> {
        match &self.name {
            Some(name) => guest(place, name),
            None => Ok(by_environment(place)),
        }
    }
}

fn guest(place: &Place, name: &str) -> anyhow::Result<Chosen> {
    if name == "owner" {
        return Ok(by_environment(place));
    }
    let name = InstanceName::normalise(name).with_context(|| format!("{name:?} is no name of a guest"))?;
    let registry = Registry::load(&place.paths().registry()).context("the list of guests cannot be used")?;
    let record = registry.find(&name).with_context(|| format!("there is no guest {name}"))?;
    let mut settings = Settings::from_env(&place.env, &place.home);
    settings.paths = record.paths();
    settings.port = record.port;
    settings.instance_name = name.to_string();
    Ok(Chosen {
        name: name.to_string(),
        paths: record.paths(),
        port: Some(record.port),
        public_base: (!record.public_base_url.is_empty()).then(|| record.public_base_url.clone()),
        containment: Some(record.containment.clone()),
        settings,
    })
}

fn by_environment(place: &Place) -> Chosen {
    let settings = Settings::from_env(&place.env, &place.home);
    let of_owner = InstancePaths::from_env(&Env::default(), &place.home);
    // A folder of somebody else says nothing about the port; that of the owner would be the wrong one.
    let given = place.env.port("CHAT_PORT");
    let port = given.or_else(|| (settings.paths.config() == of_owner.config()).then_some(OWNER_PORT));
    Chosen {
        name: settings.instance_name.clone(),
        paths: settings.paths.clone(),
        port,
        public_base: None,
        containment: None,
        settings,
    }
}
