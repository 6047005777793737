//! The routes at the mail provider's edge (Cloudflare Email Routing): which should be there, which are, and
//! how to come from one to the other without touching what is somebody else's.

mod api;
mod plan;
pub(crate) mod probe;

use std::path::PathBuf;

use remotelab_config::{Env, atomic};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desk::{Desk, Error as DeskError};
use crate::identity::AddressMode;
use api::{Api, Live};
use plan::{Desired, Plan};

pub use probe::{Class as ProbeClass, Probe, ProbeOptions};

/// The Worker's name unless the settings say otherwise.
const WORKER: &str = "remotelab-email-worker";

/// How addresses reach the Worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// One rule for the owner; guests are sub-addresses of it.
    Plus,
    /// A rule for each address.
    LocalPart,
    /// One rule for all addresses of the domain.
    CatchAll,
}

/// What `mail routing` is asked to do.
#[derive(Clone, Debug, Default)]
pub struct RoutingOptions {
    /// The zone; the mail domain without it.
    pub zone: Option<String>,
    /// The Worker's name.
    pub worker: Option<String>,
    /// How addresses reach it; by default as guests' addresses are spelt.
    pub model: Option<Model>,
    /// Whether rules of others for our addresses are taken over.
    pub adopt: bool,
    /// The file with credentials.
    pub auth_file: Option<PathBuf>,
}

/// Why routes could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mailbox.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// No way to sign in.
    #[error("no credentials for Cloudflare: set CLOUDFLARE_API_TOKEN, or put apiToken into {}", .0.display())]
    Credentials(PathBuf),
    /// The API does not answer, or says no.
    #[error("Cloudflare: {0}")]
    Remote(String),
    /// Rules of others are in the way.
    #[error(
        "{0} rules of others are in the way; nothing of them was changed (see conflicts; --adopt takes them over)"
    )]
    Conflicts(usize),
    /// More addresses than a zone takes.
    #[error("{0} addresses need a rule each, and a zone takes 180 of them; use the catch_all model")]
    TooMany(usize),
}

/// `routing.json`: what the routes are made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    zone: String,
    worker: String,
    model: Option<Model>,
}

/// Reads and changes the routes of an installation.
#[derive(Debug)]
pub struct Routing {
    api: Api,
    zone: String,
    worker: String,
    desired: Desired,
    adopt: bool,
}

impl Model {
    /// Reads `plus`, `local_part` or `catch_all`; `None` for another word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.replace('-', "_").as_str() {
            "plus" => Some(Self::Plus),
            "local_part" => Some(Self::LocalPart),
            "catch_all" => Some(Self::CatchAll),
            _ => None,
        }
    }
}

impl Routing {
    /// Reads what should be there. Blocks.
    ///
    /// # Errors
    /// [`Error::Desk`] without a mailbox, [`Error::Credentials`], [`Error::TooMany`].
    pub fn open(desk: &Desk, env: &Env, options: RoutingOptions) -> Result<Self, Error> {
        let (identity, guests, owner_root, owner_config) = desk.ground()?;
        let settings: Settings =
            atomic::read_json(&owner_root.join("routing.json")).map_err(DeskError::from)?.unwrap_or_default();
        let file = options.auth_file.unwrap_or_else(|| owner_config.join("cloudflare-auth.json"));
        let stored: Value = atomic::read_json(&file).map_err(DeskError::from)?.unwrap_or_default();
        let api = Api::open(env, &stored).ok_or(Error::Credentials(file))?;
        let usual = match identity.instance_address_mode {
            AddressMode::Plus => Model::Plus,
            AddressMode::LocalPart => Model::LocalPart,
        };
        let model = options.model.or(settings.model).unwrap_or(usual);
        let desired = Desired::of(&identity, &guests, model).map_err(Error::TooMany)?;
        let or = |wanted: Option<String>, set: String, usual: &str| {
            wanted.or_else(|| Some(set).filter(|set| !set.is_empty())).unwrap_or_else(|| usual.to_owned())
        };
        Ok(Self {
            api,
            zone: or(options.zone, settings.zone, &identity.domain),
            worker: or(options.worker, settings.worker, WORKER),
            desired,
            adopt: options.adopt,
        })
    }

    /// Says what would be changed, and why.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn plan(&self) -> Result<Value, Error> {
        let live = self.api.live(&self.zone).await.map_err(Error::Remote)?;
        Ok(self.shown(&self.plan_of(&live)))
    }

    /// Says what is there and what should be; what cannot be read is said, too.
    pub async fn status(&self) -> Value {
        match self.api.live(&self.zone).await {
            Ok(live) => {
                let mut shown = self.shown(&self.plan_of(&live));
                shown["live"] = live.shown();
                shown
            }
            Err(why) => json!({"zone": self.zone, "model": self.desired.model, "live": {"error": why}}),
        }
    }

    /// Makes the changes of the plan; what others own stays. What was done stands in the answer. Before each
    /// change everything is read again: somebody else may be at work.
    ///
    /// # Errors
    /// [`Error::Remote`] when the API fails half-way, [`Error::Conflicts`] when `strict` and there are some.
    pub async fn apply(&self, strict: bool) -> Result<Value, Error> {
        let mut done: Vec<Value> = Vec::new();
        let before = self.api.live(&self.zone).await.map_err(Error::Remote)?;
        let first = self.plan_of(&before);
        if strict && !first.conflicts.is_empty() {
            return Err(Error::Conflicts(first.conflicts.len()));
        }
        let most = first.operations.len();
        let mut live = before.clone();
        let mut plan = first;
        while let Some(operation) = plan.operations.first().filter(|_| done.len() < most) {
            let shown = operation.shown();
            if let Err(why) = self.api.carry_out(&live, operation, &self.worker).await {
                let told = serde_json::to_string(&done).unwrap_or_default();
                return Err(Error::Remote(format!("{why}; done before: {told}")));
            }
            done.push(shown);
            live = self.api.live(&self.zone).await.map_err(Error::Remote)?;
            plan = self.plan_of(&live);
        }
        let conflicts = plan.conflicts.clone();
        Ok(json!({
            "zone": self.zone, "zoneId": live.zone_id, "authMode": self.api.mode(), "model": self.desired.model,
            "desiredRouteModel": self.desired.route_model(), "operations": done, "conflicts": conflicts,
            "left": plan.operations.iter().map(plan::Operation::shown).collect::<Vec<_>>(),
            "before": before.shown(), "after": live.shown(),
        }))
    }

    fn plan_of(&self, live: &Live) -> Plan {
        plan::plan(&self.desired, live, &self.worker, self.adopt)
    }

    fn shown(&self, plan: &Plan) -> Value {
        json!({
            "zone": self.zone, "model": self.desired.model, "worker": self.worker,
            "operations": plan.operations.iter().map(plan::Operation::shown).collect::<Vec<_>>(),
            "conflicts": plan.conflicts, "drift": plan.drift, "inPlace": plan.in_place,
            "warnings": self.desired.warnings(),
        })
    }
}
