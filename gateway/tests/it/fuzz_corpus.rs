//! Every input that the fuzz targets start from or once failed on, read again.

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzz targets")]
mod checks;
#[path = "../../../tests/support/corpus.rs"]
mod corpus;

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
    corpus::replay(env!("CARGO_MANIFEST_DIR"), target, check);
}
