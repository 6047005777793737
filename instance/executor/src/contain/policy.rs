//! What a contained run may see and do. Everything that is not here is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use remotelab_config::containment::{Contained, Isolation, Level};
use remotelab_config::{Env, InstancePaths};
use serde::{Deserialize, Serialize};

use super::Walls;

/// Programs and libraries of the system: read and run.
pub(super) const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/gnu/store",
    "/snap",
    "/home/linuxbrew/.linuxbrew",
    "/var/cache/fontconfig",
];

/// Settings of the system that programs ask for: read.
pub(super) const SETTINGS: &[&str] = &[
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/debian_version",
    "/etc/environment",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/java",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/magic",
    "/etc/mailcap",
    "/etc/mime.types",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/papersize",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/protocols",
    "/etc/python3",
    "/etc/resolv.conf",
    "/etc/rpc",
    "/etc/services",
    "/etc/shells",
    "/etc/skel",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
    "/etc/xdg",
];

/// What the kernel tells about the machine, and not about its processes: read.
pub(super) const KERNEL: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Devices without content: read and written. No terminals, which are other people's.
pub(super) const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Where unnamed memory is shared: files may be made and used there, and none be found.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Where programs look at themselves; some abort where they cannot. Without a view of processes of their own, files
/// there are read and nothing is listed. The kernel keeps variables, memory and open files of others closed.
pub(super) const PROCESSES: &str = "/proc";

/// TCP ports of the world: names, web, shells for version control.
const PORTS: &[u16] = &[22, 53, 80, 443];

/// Files and folders of the instance that runs read: their program, and what came with messages.
fn own(paths: &InstancePaths) -> Vec<PathBuf> {
    vec![
        paths.program(),
        paths.instance_id(),
        paths.tools(),
        paths.images(),
        paths.file_asset_objects(),
        paths.file_assets_cache(),
        paths.config().join("tool-overlays"),
    ]
}

/// What one run may do beside what all may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// What this machine has.
    pub walls: Walls,
    /// What happens where a wall is missing.
    pub level: Level,
    /// Whether it is in namespaces of its own.
    pub isolation: Isolation,
    /// Folders that it works in.
    pub write: Vec<PathBuf>,
    /// Files and folders that it reads and runs.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to.
    pub connect: Vec<u16>,
    /// TCP ports that it may listen on; 0 is one that nobody chooses.
    pub listen: Vec<u16>,
    /// Its temporary folder, which namespaces show as `/tmp`.
    pub temporary: PathBuf,
}

/// What a policy is made of.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The instance.
    pub contained: &'a Contained,
    /// Its folders.
    pub paths: &'a InstancePaths,
    /// The home folder of the system's user, where the operator's files are.
    pub home: &'a Path,
    /// The program that is to be started, as it was found.
    pub program: &'a Path,
    /// The folders in which programs are looked for.
    pub search_path: &'a str,
    /// The folder of a shared tool, and other things of the operator's that the run is told of.
    pub told: &'a [PathBuf],
    /// The server's environment.
    pub env: &'a Env,
    /// Where the server itself listens.
    pub port: u16,
}

impl Policy {
    /// Decides what a run may do. Nothing in it follows from what the instance's users can write. Blocks.
    #[must_use]
    pub fn new(ground: &Ground<'_>, walls: Walls) -> Self {
        let Ground { contained, paths, program, search_path, told, env, port, .. } = *ground;
        let containment = &contained.containment;
        let mut write = contained.grounds(paths);
        write.extend([paths.managed_codex_home(), paths.managed_claude_home()]);
        let programs = ground.shown(programs(program, search_path));
        let named = told.iter().chain(&containment.programs).cloned().collect();
        let read = own(paths).into_iter().chain(programs).chain(ground.shown(named));
        let listen: Vec<u16> = [0].into_iter().chain(containment.ports.iter().copied()).collect();
        let connect: BTreeSet<u16> = PORTS
            .iter()
            .copied()
            .chain([port])
            .chain(env.iter().filter_map(|(key, value)| port_of(key, value)))
            .chain(containment.ports.iter().copied())
            .collect();
        Self {
            walls: Walls {
                namespaces: walls.namespaces && containment.isolation != Isolation::Never,
                ..walls
            },
            level: containment.level,
            isolation: containment.isolation,
            write,
            read: read.collect::<BTreeSet<_>>().into_iter().collect(),
            connect: connect.into_iter().collect(),
            listen,
            temporary: contained.temporary(),
        }
    }

    /// Tells whether a folder is one that the run works in. Blocks.
    #[must_use]
    pub fn covers(&self, folder: &Path) -> bool {
        let Ok(folder) = folder.canonicalize() else { return false };
        let grounds = self.write.iter().filter_map(|ground| ground.canonicalize().ok());
        grounds.into_iter().any(|ground| folder.starts_with(ground))
    }
}

impl Ground<'_> {
    /// Leaves out whatever would show the operator's home, or data of instances, as a whole.
    fn shown(&self, wanted: Vec<PathBuf>) -> Vec<PathBuf> {
        let private = [
            self.home.to_owned(),
            self.home.join(".config/remotelab"),
            self.home.join(".remotelab/instances"),
            self.home.join(".remotelab/memory"),
            self.home.join(".remotelab/trash"),
            self.home.join(".ssh"),
            self.home.join(".codex"),
            self.home.join(".claude"),
            self.contained.root.clone(),
        ];
        let resolved = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let private: Vec<PathBuf> = private.iter().map(resolved).collect();
        // The home itself may hold folders of programs, the others nothing that is shown.
        let (home, closed) = private.split_first().expect("the list above is not empty");
        let is_private = |path: &PathBuf| {
            let path = resolved(path);
            home.starts_with(&path)
                || closed.iter().any(|closed| closed.starts_with(&path) || path.starts_with(closed))
        };
        wanted.into_iter().filter(|path| !is_private(path)).collect()
    }
}

/// The folders of programs, links followed: each of the search path with the libraries beside it, and that of the
/// program where the search path led to it.
fn programs(program: &Path, search_path: &str) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> =
        std::env::split_paths(search_path).filter(|folder| folder.is_absolute()).collect();
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| !is_system(folder) && folder.is_dir()) {
        found.push(folder.clone());
        if folder.ends_with("bin")
            && let Some(beside) = folder.parent().map(|above| above.join("lib")).filter(|lib| lib.is_dir())
        {
            found.push(beside);
        }
    }
    // Whoever adds a tool may name any program; only those that the operator has put into the path count.
    if program.parent().is_some_and(|folder| folders.iter().any(|known| known == folder))
        && let Ok(target) = program.canonicalize()
    {
        let modules = target.ancestors().filter(|folder| folder.ends_with("node_modules")).last();
        found.extend(modules.or(target.parent()).filter(|folder| !is_system(folder)).map(Path::to_owned));
        found.push(target);
    }
    found
}

fn is_system(folder: &Path) -> bool {
    SYSTEM.iter().any(|system| folder.starts_with(system))
}

/// The port of an address that executors are told of: a model's, or a proxy's.
fn port_of(key: &str, value: &str) -> Option<u16> {
    let key = key.to_ascii_uppercase();
    if !(key.ends_with("_BASE_URL") || key.ends_with("_PROXY") || key.ends_with("_ENDPOINT")) {
        return None;
    }
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use remotelab_config::containment::Containment;

    use super::*;

    #[test]
    fn a_policy_is_made_of_what_the_operator_says_alone() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap();
        let make = |path: &str| {
            std::fs::create_dir_all(home.join(path)).unwrap();
            home.join(path)
        };
        let (bin, lib) = (make("node/bin"), make("node/lib"));
        let package = make("node/lib/node_modules/@openai/codex/bin").join("codex.js");
        std::fs::write(&package, "").unwrap();
        std::os::unix::fs::symlink(&package, bin.join("codex")).unwrap();
        make(".ssh");
        let guest = make(".remotelab/instances/trial1");
        let paths = InstancePaths::below(&guest);
        let contained = Contained {
            root: guest.clone(),
            containment: Containment {
                level: Level::Require,
                folders: vec!["/srv/shared".into()],
                programs: vec![home.join(".ssh"), home.clone(), "/srv/tools".into()],
                ports: vec![5432],
                ..Containment::default()
            },
        };
        let env = [
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9911/v1"),
            ("https_proxy", "u:p@proxy:3128"),
            ("A_B", "x:1"),
        ];
        let env = env.into_iter().collect();
        let search_path = format!("{}:/usr/bin:{}:relative", bin.display(), home.display());
        let told = [home.join(".remotelab/shared-tools/a")];
        let ground = Ground {
            contained: &contained,
            paths: &paths,
            home: &home,
            program: &bin.join("codex"),
            search_path: &search_path,
            told: &told,
            env: &env,
            port: 7696,
        };
        let config = guest.join("config");
        let walls = Walls { landlock: 7, namespaces: false, filter: true };
        let expected = Policy {
            walls,
            level: Level::Require,
            isolation: Isolation::Auto,
            write: vec![
                guest.join("workspace"),
                guest.join("tmp"),
                guest.join("memory"),
                "/srv/shared".into(),
                config.join("provider-runtime-homes/codex"),
                config.join("provider-runtime-homes/claude"),
            ],
            read: vec![
                config.join("file-assets/objects"),
                config.join("file-assets-cache"),
                config.join("images"),
                config.join("instance-id"),
                config.join("program"),
                config.join("tool-overlays"),
                config.join("tools.json"),
                home.join(".remotelab/shared-tools/a"),
                bin,
                lib.clone(),
                lib.join("node_modules"),
                package,
                "/srv/tools".into(),
            ]
            .into_iter()
            .collect::<BTreeSet<PathBuf>>()
            .into_iter()
            .collect(),
            connect: vec![22, 53, 80, 443, 3128, 5432, 7696, 9911],
            listen: vec![0, 5432],
            temporary: guest.join("tmp"),
        };
        assert_eq!(Policy::new(&ground, walls), expected);

        // A tool that a user of the instance has added shows nothing.
        let secret = home.join(".ssh/id");
        std::fs::write(&secret, "").unwrap();
        let mine = make(".remotelab/instances/trial1/workspace").join("tool");
        std::os::unix::fs::symlink(&secret, &mine).unwrap();
        for program in [&secret, &mine] {
            let read = Policy::new(&Ground { program, ..ground }, walls).read;
            assert!(
                read.iter().all(|path| !path.starts_with(home.join(".ssh")) && *path != mine),
                "{read:?}"
            );
        }
    }

    #[test]
    fn folders_of_the_whole_system_hold_no_settings_of_ours() {
        let all = SYSTEM.iter().chain(SETTINGS).chain(KERNEL);
        for path in all.map(Path::new) {
            for closed in [
                "/etc/remotelab/x",
                "/etc/shadow",
                "/etc/ssh",
                "/etc/ssl/private",
                "/root",
                "/home/op/x",
                "/tmp",
                "/run",
                "/proc/1",
                "/var/lib/x",
            ] {
                assert!(!Path::new(closed).starts_with(path), "{} shows {closed}", path.display());
            }
        }
    }
}
