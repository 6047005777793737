//! Copying a file of this host into the instance, so that it can be shown and downloaded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use remotelab_config::{InstancePaths, atomic};
use remotelab_protocol::Attachment;

use crate::attachments;

/// The largest file, in bytes.
const FILE_BYTES: u64 = 2 << 30;

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("localPath must point to a file: {}", .0.display())]
    NoFile(PathBuf),
    #[error("{} is larger than 2 GiB", .0.display())]
    TooLarge(PathBuf),
    #[error("cannot store {}", .0.display())]
    Store(PathBuf, #[source] io::Error),
}

/// Copies a regular file under a name of our own. Blocks until the copy is durable.
pub(crate) fn publish(paths: &InstancePaths, path: &Path) -> Result<Attachment, Error> {
    let no_file = || Error::NoFile(path.to_owned());
    // Asked for before it is opened as well: to open a pipe is to wait for its other end.
    if !path.is_absolute() || !fs::metadata(path).is_ok_and(|about| about.is_file()) {
        return Err(no_file());
    }
    let source = File::open(path).map_err(|_| no_file())?;
    if !source.metadata().is_ok_and(|about| about.is_file()) {
        return Err(no_file());
    }
    let filename = format!("{}.{}", hex::encode(rand::random::<[u8; 12]>()), extension(path));
    let size = copy(source, &paths.images(), &filename)
        .map_err(|error| Error::Store(path.to_owned(), error))?
        .ok_or_else(|| Error::TooLarge(path.to_owned()))?;
    let media = attachments::find(paths, &filename).map_or("application/octet-stream", |(_, media)| media);
    Ok(Attachment {
        original_name: path.file_name().map(shown),
        mime_type: media.split(';').next().unwrap_or(media).to_owned(),
        size_bytes: Some(size),
        filename: Some(filename),
        ..Attachment::default()
    })
}

/// Returns how many bytes were copied; `None` when there were too many.
fn copy(source: File, folder: &Path, filename: &str) -> io::Result<Option<u64>> {
    atomic::create_private_dir(folder).map_err(io::Error::other)?;
    let temporary = folder.join(format!(".{filename}.tmp"));
    let copied = (|| {
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let size = io::copy(&mut source.take(FILE_BYTES + 1), &mut target)?;
        if size > FILE_BYTES {
            return Ok(None);
        }
        target.sync_all()?;
        fs::rename(&temporary, folder.join(filename))?;
        atomic::sync_dir(folder)?;
        Ok(Some(size))
    })();
    if !matches!(copied, Ok(Some(_))) {
        // What is left would never be looked at.
        let _ = fs::remove_file(&temporary);
    }
    copied
}

fn extension(path: &Path) -> String {
    path.extension()
        .and_then(|extension| extension.to_str())
        .map(str::to_lowercase)
        .filter(|text| (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()))
        .unwrap_or_else(|| "bin".to_owned())
}

fn shown(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_copied_with_its_name_and_type() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        let source = root.path().join("Über sicht.MD");
        fs::write(&source, "# hi").unwrap();
        let taken = publish(&paths, &source).unwrap();
        let filename = taken.filename.clone().unwrap();
        assert_eq!(
            taken,
            Attachment {
                filename: Some(filename.clone()),
                original_name: Some("Über sicht.MD".into()),
                mime_type: "text/markdown".into(),
                size_bytes: Some(4),
                ..Attachment::default()
            }
        );
        fs::write(&source, "changed").unwrap();
        assert_eq!(fs::read_to_string(paths.images().join(filename)).unwrap(), "# hi");
        assert_eq!(fs::read_dir(paths.images()).unwrap().count(), 1);
    }

    #[test]
    fn only_regular_files_are_taken_and_the_refusal_names_them() {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        for path in [root.path(), Path::new("/dev/zero"), Path::new("relative"), &root.path().join("gone")] {
            let error = publish(&paths, path).unwrap_err();
            assert_eq!(error.to_string(), format!("localPath must point to a file: {}", path.display()));
        }
    }
}
