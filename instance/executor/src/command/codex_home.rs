//! The Codex home of an instance: its own settings and threads, the user's login.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use remotelab_config::atomic;

const CONFIG: &str =
    "# Codex settings of this RemoteLab instance. Yours to edit; RemoteLab writes this file only once.\n";

/// Makes a managed home ready for a run. What stands there stays, only the link to the login follows the
/// user's, if it is shared by one.
///
/// # Errors
/// When the folder or a file in it cannot be made.
pub fn prepare(managed: &Path, personal: &Path, shares_login: bool) -> Result<(), atomic::Error> {
    atomic::create_private_dir(managed)?;
    for (name, text) in [("config.toml", CONFIG), ("AGENTS.md", "")] {
        let path = managed.join(name);
        if !path.exists() {
            atomic::write_private(&path, text.as_bytes())?;
        }
    }
    let (login, link) = (personal.join("auth.json"), managed.join("auth.json"));
    if shares_login && login != link {
        follow(&login, &link).map_err(|source| atomic::Error::new("link", &link, source))?;
    }
    Ok(())
}

fn follow(login: &Path, link: &Path) -> io::Result<()> {
    match fs::symlink_metadata(link) {
        // A login made in the managed home itself counts more than the shared one.
        Ok(meta) if !meta.is_symlink() => return Ok(()),
        Ok(_) if fs::read_link(link)? == login && login.exists() => return Ok(()),
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if !login.exists() {
        return Ok(());
    }
    match symlink(login, link) {
        // Another run got there first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_the_login_and_keeps_everything_else() {
        let root = tempfile::tempdir().unwrap();
        let (managed, personal) = (root.path().join("managed/codex"), root.path().join("personal"));
        prepare(&managed, &personal, true).unwrap();
        assert!(!managed.join("auth.json").exists());

        fs::create_dir(&personal).unwrap();
        fs::write(personal.join("auth.json"), "login").unwrap();
        fs::write(managed.join("config.toml"), "model = \"mine\"").unwrap();
        for _ in 0..2 {
            prepare(&managed, &personal, true).unwrap();
            assert_eq!(fs::read_to_string(managed.join("auth.json")).unwrap(), "login");
        }
        assert_eq!(fs::read_to_string(managed.join("config.toml")).unwrap(), "model = \"mine\"");

        fs::remove_file(personal.join("auth.json")).unwrap();
        prepare(&managed, &personal, true).unwrap();
        assert!(fs::symlink_metadata(managed.join("auth.json")).is_err());
    }
}
