//! Steps in words.

use super::plan::Plan;
use super::step::Step;

impl Step {
    /// Its name for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Furnish { .. } => "furnish",
            Self::Start => "start",
            Self::Publish => "publish",
            Self::Route => "route",
            Self::Hold => "hold",
            Self::Want { .. } => "want",
            Self::Stop => "stop",
            Self::Resume => "resume",
            Self::SignOut => "signOut",
            Self::NewToken => "newToken",
            Self::Retire => "retire",
            Self::EndRuns => "endRuns",
            Self::Trash { .. } => "trash",
            Self::Purge { .. } => "purge",
            Self::Drop => "drop",
            Self::Bring { .. } => "bring",
            Self::ClearTrash { .. } => "clearTrash",
            Self::Rename { .. } => "rename",
            Self::Bound { .. } => "bound",
            Self::MoveLog { .. } => "moveLog",
            Self::Keep { .. } => "keep",
            Self::Define { .. } => "define",
            Self::Refresh => "refresh",
            Self::Renew { .. } => "renew",
            Self::Lead { .. } => "lead",
            Self::Unlead { .. } => "unlead",
            Self::Point { .. } => "point",
            Self::Unpoint { .. } => "unpoint",
            Self::Reconnect => "reconnect",
        }
    }

    /// What it does, for people.
    pub(super) fn describe(&self, plan: &Plan) -> String {
        let record = &plan.record;
        match self {
            Self::Reserve if record.hostname.is_empty() => {
                format!("take the name {} and port {}", record.name, record.port)
            }
            Self::Reserve => {
                format!(
                    "take the name {}, port {} and host name {}",
                    record.name, record.port, record.hostname
                )
            }
            Self::Furnish { .. } => format!("make its files in {}", record.instance_root.display()),
            Self::Start => "start its chat server".to_owned(),
            Self::Publish => "put it into the list of guests".to_owned(),
            Self::Route => "tell the front door".to_owned(),
            Self::Hold => "keep other commands from it".to_owned(),
            Self::Want { stopped: true } => "note that it stays stopped".to_owned(),
            Self::Want { stopped: false } => "note that it is to run".to_owned(),
            Self::Stop => "stop its chat server".to_owned(),
            Self::Resume => "start its chat server again".to_owned(),
            Self::SignOut => "sign every browser out".to_owned(),
            Self::NewToken => "replace its access token".to_owned(),
            Self::Retire => "mark it as being deleted".to_owned(),
            Self::EndRuns => "end its runs that are under way".to_owned(),
            Self::Trash { entry, .. } => format!("move its files into the trash as {entry}"),
            Self::Purge { folders } if folders.is_empty() => "remove its log".to_owned(),
            Self::Purge { folders } => {
                let folders: Vec<String> =
                    folders.iter().map(|folder| folder.display().to_string()).collect();
                format!("remove its files for good: {}", folders.join(", "))
            }
            Self::Drop => "take it out of the list of guests".to_owned(),
            Self::Bring { entry, .. } => {
                format!("bring {entry} back from the trash to {}", record.instance_root.display())
            }
            Self::ClearTrash { entry } => format!("forget {entry} in the trash"),
            Self::Bound { .. } => "change what it may do and take".to_owned(),
            Self::MoveLog { .. } => "rename its log".to_owned(),
            Self::Keep { program } => format!("keep {} to return to", program.display()),
            Self::Define { path, .. } => format!("write {} anew", path.display()),
            Self::Lead { hostname, service } => format!("have the tunnel lead {hostname} to {service}"),
            Self::Unlead { hostname } => format!("have the tunnel lead {hostname} nowhere"),
            Self::Point { hostname, .. } => format!("have the name {hostname} lead to the tunnel"),
            Self::Unpoint { hostname } => format!("remove the name {hostname}"),
            Self::Reconnect => "have the tunnel's client read its settings".to_owned(),
            Self::Refresh => "take over the owner's public tools".to_owned(),
            Self::Renew { program } => format!("start it with {}", program.display()),
            Self::Rename { to } if to.hostname == record.hostname => format!("name it {}", to.name),
            Self::Rename { to } => format!("name it {}, with host name {}", to.name, to.hostname),
        }
    }

    /// How it is undone, for people. Only steps before the commit are.
    pub(super) fn describe_undo(&self) -> &'static str {
        match self {
            Self::Reserve => "give them back",
            Self::Furnish { .. } => "remove them",
            Self::Start => "stop it",
            Self::Stop => "start it",
            Self::Bring { .. } => "move it into the trash",
            Self::Want { .. } | Self::Retire | Self::Bound { .. } | Self::Rename { .. } => {
                "put its record back"
            }
            Self::Keep { .. } => "start it with that",
            Self::Define { .. } => "put the old one back",
            Self::Lead { .. } => "take that out",
            Self::Point { .. } => "remove the name, if it was made for this",
            _ => "nothing",
        }
    }
}
