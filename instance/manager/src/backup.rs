//! What a file was before it was changed, kept beside it: `<file>.bak.<time>`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// How many are kept of one file.
const KEPT: usize = 5;

/// Where the next one goes.
#[must_use]
pub(crate) fn place(file: &Path, now: Timestamp) -> PathBuf {
    let first = format!("{}.bak.{}", file.display(), now.strftime("%Y%m%dt%H%M%Sz"));
    let later = (2..10).map(|number: u32| format!("{first}-{number}"));
    let mut places = std::iter::once(first.clone()).chain(later).map(PathBuf::from);
    places.find(|place| !place.exists()).unwrap_or(PathBuf::from(first))
}

/// Removes the oldest where there are too many.
pub(crate) fn prune(file: &Path) {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    let start = format!("{name}.bak.");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut kept: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&start))
        .map(|entry| entry.path())
        .collect();
    kept.sort();
    let too_many = kept.len().saturating_sub(KEPT);
    for old in &kept[..too_many] {
        // One that stays is only one more.
        let _ = fs::remove_file(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_five_are_kept_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yml");
        let at = |second: i64| Timestamp::from_second(1_774_509_972 + second).unwrap();
        for second in [0, 0, 1, 2, 3, 4, 5] {
            fs::write(place(&file, at(second)), "").unwrap();
            prune(&file);
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 5);
        assert_eq!(names[4], "config.yml.bak.20260326t072617z");
        assert_eq!(place(&file, at(5)), folder.path().join("config.yml.bak.20260326t072617z-2"));
    }
}
