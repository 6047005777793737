//! The kernel's own wall: Landlock, and the privileges of root.

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{drop_privileges, generation, hold, landlock};
#[cfg(target_os = "linux")]
pub(super) use linux::{drop_privileges, generation, hold, landlock};

/// The generation of Landlock that guards the length of files, and so all writing.
pub(super) const TRUNCATION: u8 = 3;
/// The one that guards TCP ports.
pub(super) const PORTS: u8 = 4;
/// The one that guards signals and abstract sockets.
pub(super) const SCOPES: u8 = 6;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
        RestrictSelf, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
    };
    use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};

    use super::super::kernel;
    use super::super::policy::{self, Policy};

    /// What the rules below were written for; a newer kernel guards nothing more.
    const NEWEST: ABI = ABI::V6;

    /// What programs of root keep: their own files and ports, other users.
    const KEPT: CapabilitySet = CapabilitySet::CHOWN
        .union(CapabilitySet::DAC_OVERRIDE)
        .union(CapabilitySet::FOWNER)
        .union(CapabilitySet::FSETID)
        .union(CapabilitySet::KILL)
        .union(CapabilitySet::SETGID)
        .union(CapabilitySet::SETUID)
        .union(CapabilitySet::NET_BIND_SERVICE);

    /// The generation of Landlock, 0 where there is none.
    pub(in super::super) fn generation() -> u8 {
        // Without rules nothing is restricted.
        match RestrictSelf::default().no_new_privs(false).apply().ok().map(|status| status.landlock) {
            Some(LandlockStatus::Available { effective_abi, .. }) => effective_abi as u8,
            _ => 0,
        }
    }

    /// Takes from programs of root, which this thread will start, what reaches past all walls: modules, devices,
    /// mounts, other users' processes.
    pub(in super::super) fn drop_privileges() -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        for capability in CapabilitySet::all().iter().filter(|one| one.bits().count_ones() == 1) {
            if !KEPT.contains(capability) && capability_is_in_bounding_set(capability).unwrap_or(false) {
                remove_capability_from_bounding_set(capability)?;
            }
        }
        Ok(())
    }

    /// Keeps this thread, and what it starts, to what the policy allows, as far as the kernel can.
    pub(in super::super) fn landlock(policy: &Policy) -> io::Result<()> {
        let walls = policy.walls;
        if walls.landlock == 0 {
            return Ok(());
        }
        let guards_files = !walls.namespaces;
        let guards_rest = walls.landlock >= kernel::PORTS;
        if !guards_files && !guards_rest {
            return Ok(());
        }
        rules(policy, guards_files, walls.landlock).map_err(io::Error::other)
    }

    fn rules(policy: &Policy, guards_files: bool, generation: u8) -> Result<(), RulesetError> {
        let mut set = Ruleset::default();
        if guards_files {
            set = set.handle_access(AccessFs::from_all(NEWEST))?;
        }
        if generation >= kernel::PORTS {
            set = set.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
        }
        if generation >= kernel::SCOPES {
            set = set.scope(Scope::from_all(NEWEST))?;
        }
        let mut set = set.create()?;
        if guards_files {
            set = files(set, policy)?;
        }
        for (ports, access) in
            [(&policy.connect, AccessNet::ConnectTcp), (&policy.listen, AccessNet::BindTcp)]
        {
            for &port in ports {
                set = set.add_rule(NetPort::new(port, access))?;
            }
        }
        set.restrict_self().map(drop)
    }

    fn files(mut set: RulesetCreated, policy: &Policy) -> Result<RulesetCreated, RulesetError> {
        let read = AccessFs::from_read(NEWEST);
        // No devices: whoever may make one has the disk.
        let write =
            AccessFs::from_all(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev);
        let shared = AccessFs::ReadFile
            | AccessFs::WriteFile
            | AccessFs::MakeReg
            | AccessFs::RemoveFile
            | AccessFs::Truncate;
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
        let of_system = [policy::SYSTEM, policy::SETTINGS, policy::KERNEL].concat();
        let named = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (paths, access) in [
            (named(&of_system), read),
            (policy.read.clone(), read),
            (policy.write.clone(), write),
            (named(&[policy::SHARED_MEMORY]), shared),
            (named(policy::DEVICES), device),
            (named(&[policy::PROCESSES]), AccessFs::ReadFile.into()),
        ] {
            for path in &paths {
                set = allow(set, path, access)?;
            }
        }
        Ok(set)
    }

    /// Holds open what the kernel forgets when nobody looks at it: a rule for a file of `/proc` ends with that.
    pub(in super::super) fn hold() -> Vec<File> {
        policy::KERNEL.iter().filter_map(|path| File::open(path).ok()).collect()
    }

    /// Allows what is there; what is missing needs no rule.
    fn allow(
        set: RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Result<RulesetCreated, RulesetError> {
        let Ok(opened) = PathFd::new(path) else { return Ok(set) };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        set.add_rule(PathBeneath::new(opened, access))
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    use super::super::Policy;

    pub(in super::super) fn generation() -> u8 {
        0
    }

    pub(in super::super) fn drop_privileges() -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn hold() -> Vec<std::fs::File> {
        Vec::new()
    }

    pub(in super::super) fn landlock(_: &Policy) -> io::Result<()> {
        Ok(())
    }
}
