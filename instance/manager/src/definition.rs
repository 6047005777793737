//! Service definitions of guests: what the system's own service manager runs, as this version and earlier ones
//! have written it.

mod agent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use remotelab_config::InstanceName;

pub use agent::Error;

/// The subcommand that is a chat server.
const CHAT: &str = "chat";

/// The largest definition that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// One guest as its definition tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name, by the label.
    pub name: InstanceName,
    /// What the service manager calls it.
    pub label: String,
    /// The file.
    pub path: PathBuf,
    /// What is run.
    pub arguments: Vec<String>,
    /// In which folder.
    pub folder: PathBuf,
    /// Where its output goes.
    pub stdout: PathBuf,
    /// Where its errors go.
    pub stderr: PathBuf,
    /// With which environment.
    pub environment: BTreeMap<String, String>,
    /// Its port.
    pub port: u16,
}

impl Definition {
    /// The chat server's program: earlier versions name it after what executes it.
    #[must_use]
    pub fn program(&self) -> &Path {
        let index = usize::from(self.is_of_earlier_version());
        self.arguments.get(index).or(self.arguments.first()).map_or(Path::new(""), Path::new)
    }

    /// Whether it was written for a program of an earlier version.
    #[must_use]
    pub fn is_of_earlier_version(&self) -> bool {
        self.arguments.get(1).is_none_or(|argument| argument != CHAT)
    }

    /// What is run when this program is the chat server.
    #[must_use]
    pub fn arguments_for(program: &Path) -> Vec<String> {
        vec![program.to_string_lossy().into_owned(), CHAT.to_owned()]
    }

    /// Reads the file and writes what it would be for this definition. Keys that are not known stay.
    ///
    /// # Errors
    /// When the file cannot be read or is no definition.
    pub fn rewritten(&self) -> Result<String, Error> {
        agent::rewrite(&read(&self.path).map_err(Error::Read)?, self)
    }
}

/// Reads the launch agents of guests, in natural order of their names. Those that are no definitions of guests
/// with a port are left out.
#[must_use]
pub fn agents(home: &Path) -> Vec<Definition> {
    let mut found: Vec<Definition> = files(&agents_folder(home), ".plist")
        .filter_map(|path| {
            let text = read(&path).ok()?;
            agent::parse(&text, &path)
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The environment of the owner's launch agent, if there is one.
#[must_use]
pub fn owner_environment(home: &Path) -> BTreeMap<String, String> {
    let path = agents_folder(home).join(agent::OWNER);
    read(&path).map(|text| agent::environment(&text)).unwrap_or_default()
}

/// Where launch agents are.
#[must_use]
pub fn agents_folder(home: &Path) -> PathBuf {
    home.join("Library/LaunchAgents")
}

fn files(folder: &Path, end: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(move |path| path.to_string_lossy().ends_with(end))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}
