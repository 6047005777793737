//! Every input that the fuzz targets start from or once failed on, read again.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzz targets")]
mod checks;

#[test]
fn the_corpus_holds() {
    replay("request", checks::request);
    replay("framing", checks::framing);
    replay("headers", checks::headers);
    replay("cookie", checks::cookie);
    replay("location", checks::location);
    replay("host", checks::host);
    replay("routes", checks::routes);
    replay("html", checks::html);
    replay("css", checks::css);
    replay("manifest", checks::manifest);
    replay("etag", checks::etag);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(catch_unwind(|| check(&bytes)).is_ok(), "{} breaks what it was to keep", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "no corpus in {}", folder.display());
}
