//! Keys that gateway and instance share.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use remotelab_config::secret::Secret;

use super::files::small_file;

/// Reads an instance's key, and makes it where the instance has not done so yet. Without one the gateway's
/// headers are not believed, which is safe.
pub(super) fn secret(path: &Path) -> Option<Secret> {
    let read = || small_file(path).ok().and_then(|text| Secret::parse(text.trim()).ok());
    match small_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Whoever comes first wins; the other one reads what is there.
            let _ = create_secret(path);
            read()
        }
        _ => read(),
    }
}

/// Writes beside and links, so that nobody ever reads half a key and nobody's key is replaced.
fn create_secret(path: &Path) -> io::Result<()> {
    let beside = path.with_extension(format!("tmp-{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(Secret::random().reveal().as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&beside, path)
    })();
    // Left behind only if the folder is gone.
    let _ = fs::remove_file(&beside);
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_missing_key_is_made_once_and_a_damaged_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway-secret");
        let made = secret(&path).unwrap();
        assert_eq!(secret(&path), Some(made));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "damaged").unwrap();
        assert_eq!(secret(&path), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
        assert_eq!(secret(&folder.path().join("no/such/folder")), None);
    }
}
