//! `remotelab guest-instance limits` and `quota`

use std::path::{Path, PathBuf};

use remotelab_config::containment::{Containment, Isolation, Level};
use remotelab_config::limits::parse_size;
use remotelab_executor::contain::Walls;
use remotelab_manager::guests::Bounds;
use remotelab_manager::outside::Local;

use super::{Format, guests, known};
use crate::failure::Hinted;
use crate::output;
use crate::place::Place;
use crate::verb::Kind;

/// See or change what the runs of a guest may see and take.
///
/// Without anything to change it says how things are. Runs of a contained guest see its own files, the system's
/// programs, and the folders, programs and ports that are allowed here; docs/containment.md tells all of it. The guest
/// is started anew, and what it has under way goes on as it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    /// The guest.
    name: String,
    /// Keep its runs to its own files: `on` as far as this machine can, `require` or not at all, `off`.
    #[arg(long, value_name = "LEVEL", value_parser = ["on", "require", "off"])]
    contain: Option<String>,
    /// Whether each run gets a file tree and processes of its own (by bubblewrap): `auto` where that is possible,
    /// `require` or it is not begun, `never`.
    #[arg(long, value_name = "WHETHER", value_parser = ["auto", "require", "never"])]
    isolation: Option<String>,
    /// A folder outside of its own that its runs may work in.
    #[arg(long, value_name = "FOLDER")]
    allow_folder: Vec<PathBuf>,
    /// A folder of programs that its runs may read and start.
    #[arg(long, value_name = "FOLDER")]
    allow_programs: Vec<PathBuf>,
    /// A TCP port that its runs may connect to and listen on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    allow_port: Vec<u16>,
    /// Forget the folders, programs and ports that were allowed before.
    #[arg(long)]
    forget_allowed: bool,
    /// Memory of all its runs together, like `2G`; `none` for no limit.
    #[arg(long, value_name = "SIZE", value_parser = amount)]
    memory: Option<Amount>,
    /// Processes and threads of all its runs together; `none` for no limit.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    tasks: Option<Amount>,
    /// Processor time of all its runs together, like `150%` for one and a half; `none` for no limit.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    cpu: Option<Amount>,
    #[command(flatten)]
    pub(super) format: Format,
}

/// See or change how much a guest may use.
///
/// Without anything to change it says how things are. When a guest has used what it may, new messages and files are
/// refused with a sentence that says so; everything can be read, and what is under way goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Quota {
    /// The guest.
    name: String,
    /// Room for all its files, like `5G`; `none` for no limit.
    #[arg(long, value_name = "SIZE", value_parser = amount)]
    disk: Option<Amount>,
    /// Runs that may begin on one day; `none` for no limit.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    runs: Option<Amount>,
    #[command(flatten)]
    pub(super) format: Format,
}

/// A number, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount(Option<u64>);

fn amount(text: &str) -> Result<Amount, String> {
    either(text, parse_size(text), "a size like 512M or 2G")
}

fn number(text: &str) -> Result<Amount, String> {
    either(text, text.parse().ok().filter(|&number| number > 0 && number <= u64::from(u32::MAX)), "a number")
}

fn percent(text: &str) -> Result<Amount, String> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    either(
        text,
        digits.parse().ok().filter(|percent| (1..=100_000).contains(percent)),
        "a percentage like 50%",
    )
}

fn either(text: &str, read: Option<u64>, wanted: &str) -> Result<Amount, String> {
    match read {
        _ if text == "none" => Ok(Amount(None)),
        Some(number) => Ok(Amount(Some(number))),
        None => Err(format!("expected {wanted}, or none")),
    }
}

fn small(amount: Amount) -> Option<u32> {
    amount.0.and_then(|number| number.try_into().ok())
}

pub(super) fn limits(arguments: &Limits) -> anyhow::Result<()> {
    change(&arguments.name, arguments.format, |bounds| arguments.enter(bounds), Bounds::limits_text)
}

pub(super) fn quota(arguments: &Quota) -> anyhow::Result<()> {
    let enter = |bounds: &mut Bounds| {
        if let Some(disk) = arguments.disk {
            bounds.quota.disk = disk.0;
        }
        if let Some(runs) = arguments.runs {
            bounds.quota.runs_per_day = small(runs);
        }
        Ok(())
    };
    change(&arguments.name, arguments.format, enter, |bounds, _| bounds.quota_text())
}

fn change(
    name: &str,
    format: Format,
    enter: impl FnOnce(&mut Bounds) -> anyhow::Result<()>,
    text: impl FnOnce(&Bounds, Walls) -> String,
) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = Local::new(&place.paths());
    let (guests, name) = (guests(&place)?, known(name)?);
    let was = guests.bounds(&name)?;
    let mut bounds = was.clone();
    enter(&mut bounds)?;
    let mut warnings = Vec::new();
    if bounds != was {
        warnings = guests.bound(&name, &bounds, local.outside(), &mut |_| {})?;
    }
    let walls = Walls::here();
    if format.json {
        let mut json = bounds.json(&name, walls);
        json["warnings"] = warnings.into();
        return output::json(&json);
    }
    let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    output::text(&format!("name: {name}\n{}{warnings}", text(&bounds, walls)))
}

impl Limits {
    fn enter(&self, bounds: &mut Bounds) -> anyhow::Result<()> {
        let containment = &mut bounds.containment;
        if let Some(level) = &self.contain {
            containment.level = Level::parse(level);
        }
        if let Some(isolation) = &self.isolation {
            containment.isolation = Isolation::parse(isolation);
        }
        if self.forget_allowed {
            *containment = Containment {
                level: containment.level,
                isolation: containment.isolation,
                ..Containment::default()
            };
        }
        for (list, given) in [
            (&mut containment.folders, &self.allow_folder),
            (&mut containment.programs, &self.allow_programs),
        ] {
            for path in given {
                let path = whole(path)?;
                if !list.contains(&path) {
                    list.push(path);
                }
            }
        }
        containment.ports.extend(&self.allow_port);
        containment.ports.sort_unstable();
        containment.ports.dedup();
        let limits = &mut bounds.limits;
        if let Some(memory) = self.memory {
            limits.memory = memory.0;
        }
        if let Some(tasks) = self.tasks {
            limits.tasks = tasks.0;
        }
        if let Some(cpu) = self.cpu {
            limits.cpu = small(cpu);
        }
        Ok(())
    }
}

/// The path of a folder that is there, with all links followed: those may lead elsewhere later.
fn whole(path: &Path) -> anyhow::Result<PathBuf> {
    let wrong = |what: String| {
        let message = format!("{}: {what}", path.display());
        Hinted::new(message, "the path of a folder that is there").with_code(Kind::Usage as u8)
    };
    let path = path.canonicalize().map_err(|error| wrong(error.to_string()))?;
    match path.to_str() {
        _ if !path.is_dir() => Err(wrong("is no folder".into()).into()),
        Some(text) if !text.contains(':') => Ok(path),
        _ => Err(wrong("has a colon in it, or is no text".into()).into()),
    }
}
