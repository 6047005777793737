//! Every input that the fuzz targets start from or once failed on, read again.

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzz targets")]
mod checks;
#[path = "../../../../tests/support/corpus.rs"]
mod corpus;

#[test]
fn the_corpus_holds() {
    replay("markdown", checks::markdown);
    replay("accept", checks::accept);
    replay("answer", checks::answer);
    replay("range", checks::range);
    replay("form", checks::form);
}

fn replay(target: &str, check: fn(&[u8])) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), target, check);
}
