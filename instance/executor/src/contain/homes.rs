//! The folders that contained runs work in, and the logins that they find there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use remotelab_config::containment::Contained;
use remotelab_config::{InstancePaths, atomic};

/// Makes the folders of a contained instance, and brings the operator's logins of Codex and Claude into its homes:
/// copies, because a link would lead to the operator's folder.
///
/// A login that was made in the instance itself stays; a copy follows the operator's.
///
/// # Errors
/// When a folder or a file cannot be made.
pub fn prepare(
    contained: &Contained,
    paths: &InstancePaths,
    codex: &Path,
    claude: &Path,
) -> Result<(), atomic::Error> {
    let (own_codex, own_claude) = (paths.managed_codex_home(), paths.managed_claude_home());
    for folder in [&contained.workspace(), &contained.temporary(), &own_codex, &own_claude] {
        atomic::create_private_dir(folder)?;
    }
    bring(&codex.join("auth.json"), &own_codex.join("auth.json"), &noted(&own_codex))?;
    let claude = claude.join(".credentials.json");
    bring(&claude, &own_claude.join(".credentials.json"), &noted(&own_claude))
}

/// Where it is noted which login was copied: beside the home, where runs do not write.
fn noted(home: &Path) -> PathBuf {
    home.with_extension("login")
}

fn bring(login: &Path, copy: &Path, note: &Path) -> Result<(), atomic::Error> {
    let noted = atomic::read(note)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let found = fs::symlink_metadata(copy).ok();
    // What a link shows there is nobody's own: it comes from the time before this instance was contained.
    let is_own = found.is_some_and(|about| about.is_file()) && noted.is_none();
    let now = state(login);
    if is_own || noted == now {
        return Ok(());
    }
    match (&now, fs::read(login)) {
        (Some(now), Ok(bytes)) => {
            atomic::write_private(copy, &bytes)?;
            atomic::write_private(note, now.as_bytes())
        }
        // The operator has signed out.
        _ => [copy, note].into_iter().try_for_each(remove),
    }
}

/// What changes when a login does.
fn state(login: &Path) -> Option<String> {
    let about = fs::metadata(login).ok()?;
    let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", modified.as_nanos(), about.len()))
}

fn remove(path: &Path) -> Result<(), atomic::Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(atomic::Error::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use remotelab_config::containment::Containment;

    use super::*;

    #[test]
    fn a_copy_follows_the_operators_login_and_ones_own_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let paths = InstancePaths::below(&at("guest"));
        let contained = Contained { root: at("guest"), containment: Containment::default() };
        let prepare = || prepare(&contained, &paths, &at("codex"), &at("claude")).unwrap();
        let login = paths.managed_codex_home().join("auth.json");
        let read = || fs::read_to_string(&login).ok();
        for folder in ["codex", "claude"] {
            fs::create_dir(at(folder)).unwrap();
        }
        prepare();
        assert_eq!(read(), None);

        fs::write(at("codex/auth.json"), "first").unwrap();
        fs::remove_file(&login).ok();
        std::os::unix::fs::symlink(at("codex/auth.json"), &login).unwrap();
        prepare();
        assert!(!login.is_symlink());
        // The tool renews its copy.
        fs::write(&login, "renewed").unwrap();
        prepare();
        assert_eq!(read().as_deref(), Some("renewed"));
        fs::write(at("codex/auth.json"), "the operator's second").unwrap();
        prepare();
        assert_eq!(read().as_deref(), Some("the operator's second"));
        fs::remove_file(at("codex/auth.json")).unwrap();
        prepare();
        assert_eq!(read(), None);
        fs::write(&login, "own").unwrap();
        fs::write(at("codex/auth.json"), "the operator's third").unwrap();
        prepare();
        assert_eq!(read().as_deref(), Some("own"));
    }
}
