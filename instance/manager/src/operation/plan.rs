//! What an operation is going to do.

use remotelab_config::InstanceName;
use remotelab_config::registry::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::step::Step;

/// All that one command does to one guest, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Which command.
    pub verb: Verb,
    /// The guest: as it is, or as it is going to be when it is new.
    pub record: Record,
    /// What is done. The first changes the registry and so takes the guest for this operation.
    pub steps: Vec<Step>,
    /// The step from which on there is no way back.
    pub commit: usize,
}

/// Which command a plan is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// A new guest.
    Create,
    /// No guest any more.
    Delete,
    /// A guest that was deleted.
    Restore,
    /// Another name.
    Rename,
    /// To run again.
    Start,
    /// To stay stopped.
    Stop,
    /// Another token.
    RotateToken,
    /// Other bounds.
    Bound,
    /// Another program.
    Converge,
}

/// Where an operation that was cut off goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Back to where it began.
    Back,
    /// On to its end.
    On,
}

impl Plan {
    /// The guest's name.
    #[must_use]
    pub fn guest(&self) -> &InstanceName {
        &self.record.name
    }

    /// Its name when all is done.
    pub(crate) fn guest_after(&self) -> &InstanceName {
        let new = self.steps.iter().find_map(|step| match step {
            Step::Rename { to } => Some(&to.name),
            _ => None,
        });
        new.unwrap_or(self.guest())
    }

    /// Which way an operation goes after a kill, `next` being the first step that is not known to be done.
    pub(super) fn way(&self, next: usize, undoing: bool) -> Way {
        if undoing || next < self.commit { Way::Back } else { Way::On }
    }

    /// Describes it for people.
    #[must_use]
    pub fn text(&self) -> String {
        let steps = self.steps.iter().map(|step| format!("- {}\n", step.describe(self)));
        format!("{} {} would:\n{}", self.verb.infinitive(), self.guest(), steps.collect::<String>())
    }

    /// Describes it for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let steps = self.steps.iter().enumerate().map(|(index, step)| {
            let undo = (index < self.commit).then(|| step.describe_undo());
            json!({"step": step.name(), "detail": step.describe(self), "undo": undo})
        });
        json!({"verb": self.verb, "guest": self.guest(), "steps": steps.collect::<Vec<_>>()})
    }
}

impl Verb {
    /// What is done, in the words of the command.
    pub(super) fn infinitive(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Rename => "rename",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::RotateToken => "rotate-token",
            Self::Bound => "bound",
            Self::Converge => "converge",
        }
    }

    /// What has become of the guest, after "was".
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Delete => "deleted",
            Self::Restore => "restored",
            Self::Rename => "renamed",
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::RotateToken | Self::Bound => "changed",
            Self::Converge => "converged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_goes_back_before_the_commit_and_on_from_it() {
        let record = serde_json::from_value(json!({"name": "x", "port": 1})).unwrap();
        let steps = vec![Step::Reserve, Step::Start, Step::Publish, Step::Route];
        let plan = Plan { verb: Verb::Create, record, steps, commit: 2 };
        let ways: Vec<Way> = (0..5).map(|next| plan.way(next, false)).collect();
        assert_eq!(ways, [Way::Back, Way::Back, Way::On, Way::On, Way::On]);
        assert_eq!(plan.way(2, true), Way::Back, "a commit that failed is undone to the end");
    }
}
