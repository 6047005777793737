//! Every input that the fuzz targets start from or once failed on, read again.

#[path = "../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzz targets")]
mod checks;
#[path = "../../../tests/support/corpus.rs"]
mod corpus;

#[test]
fn the_corpus_holds() {
    replay("codex", checks::codex);
    replay("claude", checks::claude);
    replay("others", checks::others);
    replay("spool", checks::spool);
}

fn replay(target: &str, check: fn(&[u8])) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), target, check);
}
