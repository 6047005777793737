//! Which instance a recipient address belongs to.

use remotelab_config::InstanceName;

use crate::address::Address;
use crate::identity::Identity;

/// Role addresses that must reach a person (RFC 2142 §5).
const OWNER_ROLES: [&str; 2] = ["postmaster", "abuse"];

/// An instance that mail can be for. `None` in [`Routed::guest`] is the owner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guest {
    pub(crate) name: InstanceName,
    /// Further names it answers to.
    pub(crate) aliases: Vec<InstanceName>,
    /// An address of its own beside the derived ones.
    pub(crate) address: Option<Address>,
}

/// Where a recipient leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    /// The guest, or `None` for the owner.
    pub(crate) guest: Option<InstanceName>,
    /// What stands behind `.` or `+` in the sub-address: room for the signed thread token.
    pub(crate) detail: Option<String>,
}

/// Nobody here has this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mailbox with this address here")]
pub(crate) struct Unknown;

/// Finds the instance of an envelope recipient. Both spellings, `owner+name@` and `name@`, count
/// whatever the identity's mode says.
pub(crate) fn resolve(recipient: &Address, identity: &Identity, guests: &[Guest]) -> Result<Routed, Unknown> {
    if let Some(guest) = guests.iter().find(|guest| guest.address.as_ref() == Some(recipient)) {
        return Ok(Routed { guest: Some(guest.name.clone()), detail: None });
    }
    if recipient.domain() != identity.domain {
        return Err(Unknown);
    }
    let local = recipient.local_key();
    if local == identity.local_part {
        return Ok(Routed { guest: None, detail: None });
    }
    let (name, detail) = match local.strip_prefix(&format!("{}+", identity.local_part)) {
        Some(suffix) => split_detail(suffix, '.'),
        None => split_detail(local, '+'),
    };
    // A token right behind the owner's own name: `rowan+r-…`, `rowan+b-…`.
    let is_detail = name.starts_with("r-") || name.starts_with("b-");
    if local.starts_with(&identity.local_part) && is_detail && detail.is_none() {
        return match find(name, guests) {
            Some(guest) => Ok(Routed { guest: Some(guest), detail: None }),
            None => Ok(Routed { guest: None, detail: Some(name.to_owned()) }),
        };
    }
    let detail = detail.map(str::to_owned);
    if let Some(guest) = find(name, guests) {
        return Ok(Routed { guest: Some(guest), detail });
    }
    if OWNER_ROLES.contains(&local) {
        return Ok(Routed { guest: None, detail: None });
    }
    Err(Unknown)
}

fn split_detail(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((name, detail)) => (name, Some(detail)),
        None => (text, None),
    }
}

fn find(name: &str, guests: &[Guest]) -> Option<InstanceName> {
    let name = InstanceName::normalise(name)?;
    let by_name = guests.iter().find(|guest| guest.name == name);
    let by_alias = || guests.iter().find(|guest| guest.aliases.contains(&name));
    // A runtime from before numbering: `trial` is slot 1 while no `trial1` exists.
    let first_trial = || guests.iter().find(|g| name.as_str() == "trial1" && g.name.as_str() == "trial");
    by_name.or_else(by_alias).or_else(first_trial).map(|guest| guest.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        serde_json::from_str(r#"{"name":"Rowan","localPart":"rowan","domain":"example.com"}"#).unwrap()
    }

    fn guest(name: &str) -> Guest {
        Guest { name: InstanceName::normalise(name).unwrap(), aliases: Vec::new(), address: None }
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn route(recipient: &str, guests: &[Guest]) -> Result<(Option<String>, Option<String>), Unknown> {
        let recipient = address(recipient);
        resolve(&recipient, &identity(), guests)
            .map(|routed| (routed.guest.map(|name| name.to_string()), routed.detail))
    }

    #[test]
    fn understands_both_spellings_and_refuses_the_rest() {
        let mut desk = guest("desk");
        desk.aliases = vec![InstanceName::normalise("front").unwrap()];
        desk.address = Address::parse("help@other.test").ok();
        let guests = [guest("trial1"), guest("trial4"), desk];
        let trial = |name: &str| Ok((Some(name.to_owned()), None));
        assert_eq!(route("Rowan@Example.com", &guests), Ok((None, None)));
        assert_eq!(route("rowan+trial4@example.com", &guests), trial("trial4"));
        assert_eq!(route("TRIAL1@example.com", &guests), trial("trial1"));
        assert_eq!(route("front@example.com", &guests), trial("desk"));
        assert_eq!(route("help@other.test", &guests), trial("desk"));
        assert_eq!(route("postmaster@example.com", &guests), Ok((None, None)));
        assert_eq!(
            route("rowan+trial4.r-abc@example.com", &guests),
            Ok((Some("trial4".into()), Some("r-abc".into())))
        );
        assert_eq!(
            route("trial4+r-abc@example.com", &guests),
            Ok((Some("trial4".into()), Some("r-abc".into())))
        );
        assert_eq!(route("rowan+r-abc@example.com", &guests), Ok((None, Some("r-abc".into()))));
        for unknown in [
            "nosuch@example.com",
            "rowan+nosuch@example.com",
            "rowan+@example.com",
            "rowan@other.test",
            "trial4@other.test",
            "xrowan+trial4@example.com",
        ] {
            assert_eq!(route(unknown, &guests), Err(Unknown), "{unknown}");
        }
    }

    #[test]
    fn an_unnumbered_trial_answers_to_slot_one_until_there_is_one() {
        assert_eq!(route("trial1@example.com", &[guest("trial")]), Ok((Some("trial".into()), None)));
        assert_eq!(
            route("trial1@example.com", &[guest("trial"), guest("trial1")]),
            Ok((Some("trial1".into()), None))
        );
    }

    proptest! {
        #[test]
        fn a_foreign_domain_never_gets_in(local in "[a-z0-9+.-]{1,20}", domain in "[a-z]{1,10}\\.test") {
            if let Ok(recipient) = Address::parse(&format!("{local}@{domain}")) {
                prop_assert_eq!(resolve(&recipient, &identity(), &[guest("trial4")]), Err(Unknown));
            }
        }

        #[test]
        fn only_listed_instances_are_reached(local in "[a-z0-9+.-]{1,30}") {
            if let Ok(recipient) = Address::parse(&format!("{local}@example.com"))
                && let Ok(routed) = resolve(&recipient, &identity(), &[guest("trial4")])
            {
                prop_assert!(routed.guest.is_none_or(|name| name.as_str() == "trial4"));
            }
        }
    }
}
