//! What the server does for contained runs must not lead them out: it sees more than they do.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use remotelab_config::InstancePaths;
use remotelab_config::chat::Settings;

/// Tells whether sessions may work in a folder. Blocks.
pub(crate) fn may_work_in(settings: &Settings, folder: &Path) -> bool {
    settings.contained.as_ref().is_none_or(|contained| contained.covers(&settings.paths, folder))
}

/// Where files that a contained run hands over may be: where it works, and where those are that it was given.
pub(crate) fn sources(settings: &Settings) -> Option<Vec<PathBuf>> {
    let contained = settings.contained.as_ref()?;
    let paths: &InstancePaths = &settings.paths;
    let given = [paths.images(), paths.file_asset_objects(), paths.file_assets_cache()];
    Some(contained.grounds(paths).into_iter().chain(given).collect())
}

/// Tells whether an open file is in one of these folders. It is asked of the file: links on the way to it may have
/// changed since it was named. Blocks.
pub(crate) fn is_in(file: &File, folders: &[PathBuf]) -> bool {
    let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return false };
    folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_where_it_really_is() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["own", "others"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("file"), folder).unwrap();
        }
        symlink(at("others"), at("own/out")).unwrap();
        let is_in = |path: &str| is_in(&File::open(at(path)).unwrap(), &[at("own"), at("missing")]);
        assert!(is_in("own/file"));
        assert!(!is_in("own/out/file") && !is_in("others/file"));
    }
}
