//! Reading the inputs again that fuzz targets start from or once failed on. Compiled into the tests of each crate
//! that has targets.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Gives every file of `fuzz/corpus/<target>` of the crate at `manifest` to a check.
pub(crate) fn replay(manifest: &str, target: &str, check: fn(&[u8])) {
    let folder = Path::new(manifest).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(catch_unwind(|| check(&bytes)).is_ok(), "{} breaks what it was to keep", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "no corpus in {}", folder.display());
}
