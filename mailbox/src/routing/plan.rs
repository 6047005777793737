//! From what should be there and what is there to what has to be done. Decides, and does nothing.

use serde::Serialize;
use serde_json::{Value, json};

use super::Model;
use super::api::{Live, Rule};
use crate::identity::Identity;
use crate::recipient::Guest;

/// Names of rules that are ours begin so.
pub(super) const MARK: &str = "remotelab-";

/// Rules for addresses that we take, of the 200 that a zone takes; and from where on it is said.
const MOST: usize = 180;
const MANY: usize = 150;

/// What should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) model: Model,
    /// Addresses with a rule of their own.
    pub(super) literals: Vec<String>,
    subaddressing: bool,
    catch_all: bool,
    domain: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Enable,
    Subaddressing,
    Create(String),
    /// Rule, address.
    Update(String, String),
    Delete(String, String),
    CatchAll,
}

/// A rule of somebody else for something of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Conflict {
    pub(super) address: String,
    pub(super) rule_id: String,
    pub(super) rule_name: String,
    pub(super) action: String,
}

/// What has to be done, and what stands in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) operations: Vec<Operation>,
    pub(super) conflicts: Vec<Conflict>,
    /// What is odd and left alone.
    pub(super) drift: Vec<String>,
    pub(super) in_place: Vec<String>,
}

impl Desired {
    /// An `Err` holds the number of addresses when there are too many.
    pub(super) fn of(identity: &Identity, guests: &[Guest], model: Model) -> Result<Self, usize> {
        let domain = identity.domain.clone();
        let mut literals = Vec::new();
        if model != Model::CatchAll {
            literals.push(identity.owner_address());
        }
        if model == Model::LocalPart {
            literals.extend(["postmaster", "abuse"].map(|role| format!("{role}@{domain}")));
            for guest in guests {
                let names = [&guest.name].into_iter().chain(&guest.aliases);
                literals.extend(names.map(|name| format!("{name}@{domain}")));
                let own = guest.address.as_ref().filter(|own| own.domain() == domain);
                literals.extend(own.map(|own| own.key().to_owned()));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        literals.retain(|address| seen.insert(address.clone()));
        if literals.len() > MOST {
            return Err(literals.len());
        }
        let subaddressing = model == Model::Plus;
        Ok(Self { model, literals, subaddressing, catch_all: model == Model::CatchAll, domain })
    }

    /// The model's name in older documents.
    pub(super) fn route_model(&self) -> &'static str {
        match self.model {
            Model::Plus => "owner_literal_rule_plus_subaddressing",
            Model::LocalPart => "literal_worker_rules_per_address",
            Model::CatchAll => "catch_all_worker_rule",
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let count = self.literals.len();
        let many = || format!("{count} rules of at most {MOST}; the catch_all model needs one");
        (count >= MANY).then(many).into_iter().collect()
    }
}

/// Compares. A rule is ours by its name or because it leads to our Worker; only one of our name is deleted.
pub(super) fn plan(desired: &Desired, live: &Live, worker: &str, adopt: bool) -> Plan {
    let mut plan = Plan::default();
    if !live.enabled {
        plan.operations.push(Operation::Enable);
    }
    if desired.subaddressing && !live.subaddressing {
        plan.operations.push(Operation::Subaddressing);
    }
    let is_ours = |rule: &Rule| rule.name.starts_with(MARK) || rule.leads_to(worker);
    for address in &desired.literals {
        let mut rules = live.rules.iter().filter(|rule| rule.literal() == Some(address.as_str()));
        let Some(first) = rules.next() else {
            plan.operations.push(Operation::Create(address.clone()));
            continue;
        };
        if rules.next().is_some() {
            plan.drift.push(format!("{address} has two rules; only the first of them works"));
        }
        if first.enabled && first.leads_to(worker) {
            plan.in_place.push(address.clone());
        } else if is_ours(first) || adopt {
            plan.operations.push(Operation::Update(first.id.clone(), address.clone()));
        } else {
            plan.conflicts.push(conflict(address, first));
        }
    }
    for rule in &live.rules {
        let Some(address) = rule.literal() else { continue };
        let is_wanted = desired.literals.iter().any(|wanted| wanted == address);
        let is_of_domain = address.rsplit_once('@').is_some_and(|(_, domain)| domain == desired.domain);
        if is_wanted || !is_of_domain || !is_ours(rule) {
            continue;
        }
        if rule.name.starts_with(MARK) {
            plan.operations.push(Operation::Delete(rule.id.clone(), address.to_owned()));
        } else {
            plan.drift.push(format!("{address} leads here by a rule that is not of our making"));
        }
    }
    match &live.catch_all {
        Some(rule) if desired.catch_all && rule.enabled && rule.leads_to(worker) => {
            plan.in_place.push("*".to_owned());
        }
        Some(rule) if desired.catch_all && rule.enabled && !rule.is_drop() && !is_ours(rule) && !adopt => {
            plan.conflicts.push(conflict("*", rule));
        }
        _ if desired.catch_all => plan.operations.push(Operation::CatchAll),
        Some(rule) if rule.enabled && rule.leads_to(worker) => {
            plan.drift.push("all other addresses lead here, too".to_owned());
        }
        _ => {}
    }
    plan
}

fn conflict(address: &str, rule: &Rule) -> Conflict {
    Conflict {
        address: address.to_owned(),
        rule_id: rule.id.clone(),
        rule_name: rule.name.clone(),
        action: rule.action(),
    }
}

impl Operation {
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Enable => json!({"type": "dns", "action": "enabled"}),
            Self::Subaddressing => {
                json!({"type": "settings", "action": "updated", "setting": "support_subaddress", "value": true})
            }
            Self::Create(address) => {
                json!({"type": "literal_worker_rule", "action": "created", "address": address})
            }
            Self::Update(rule, address) => {
                json!({"type": "literal_worker_rule", "action": "updated", "address": address, "ruleId": rule})
            }
            Self::Delete(rule, address) => {
                json!({"type": "literal_worker_rule", "action": "deleted", "address": address, "ruleId": rule})
            }
            Self::CatchAll => json!({"type": "catch_all_rule", "action": "updated"}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use remotelab_config::InstanceName;

    fn identity() -> Identity {
        serde_json::from_str(r#"{"name":"Rowan","localPart":"rowan","domain":"example.com"}"#).unwrap()
    }

    fn guest(name: &str) -> Guest {
        Guest { name: InstanceName::normalise(name).unwrap(), aliases: Vec::new(), address: None }
    }

    fn rule(id: &str, name: &str, address: &str, kind: &str, value: &str) -> Rule {
        serde_json::from_value(json!({"id": id, "name": name, "enabled": true,
            "matchers": [{"type": "literal", "field": "to", "value": address}], "actions": [{"type": kind, "value": [value]}]}))
        .unwrap()
    }

    #[test]
    fn too_many_addresses_are_refused() {
        let guests: Vec<_> = (0..178).map(|n| guest(&format!("g{n}"))).collect();
        assert_eq!(Desired::of(&identity(), &guests, Model::LocalPart).unwrap_err(), 181);
        let fewer = Desired::of(&identity(), &guests[..170], Model::LocalPart).unwrap();
        assert_eq!((fewer.literals.len(), fewer.warnings().len()), (173, 1));
        assert_eq!(Desired::of(&identity(), &guests, Model::Plus).unwrap().literals, ["rowan@example.com"]);
    }

    proptest! {
        #[test]
        fn what_is_not_ours_is_never_touched(
            names in prop::collection::vec(prop_oneof![Just("mine"), Just("remotelab-mailbox-x")], 0..6),
            to_worker in prop::collection::vec(any::<bool>(), 6),
            addresses in prop::collection::vec(prop_oneof![Just("rowan@example.com"), Just("old@example.com"), Just("x@other.test")], 6))
        {
            let rules: Vec<_> = names.iter().enumerate().map(|(n, name)| {
                let (kind, value) = if to_worker[n] { ("worker", "w") } else { ("forward", "me@x.test") };
                rule(&n.to_string(), name, addresses[n], kind, value)
            }).collect();
            let live = Live { enabled: true, subaddressing: true, rules: rules.clone(), ..Live::default() };
            let desired = Desired::of(&identity(), &[], Model::Plus).unwrap();
            for operation in plan(&desired, &live, "w", false).operations {
                let id = match &operation {
                    Operation::Update(id, _) | Operation::Delete(id, _) => id,
                    _ => continue,
                };
                let rule = rules.iter().find(|rule| rule.id == *id).unwrap();
                prop_assert!(rule.name.starts_with(MARK) || (rule.leads_to("w") && matches!(operation, Operation::Update(..))));
            }
        }
    }
}
