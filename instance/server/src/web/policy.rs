//! What a page may load and run.

/// Returns the `Content-Security-Policy` of a page: nothing but this origin's own files, and scripts by
/// nonce only.
///
/// `ws_origin` is the page's own origin with `ws:` or `wss:`, because not every browser counts it as
/// `'self'`; empty to leave it out. `storage` are the origins of an object storage that keeps files of
/// sessions: pictures and films come from there, and uploads go there.
#[must_use]
pub fn csp(nonce: &str, ws_origin: &str, storage: &[String]) -> String {
    let storage: String = storage.iter().map(|origin| format!(" {origin}")).collect();
    let connect = if ws_origin.is_empty() { "'self'".to_owned() } else { format!("'self' {ws_origin}") };
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self'; \
         img-src 'self' blob: data:{storage}; media-src 'self' blob:{storage}; connect-src {connect}{storage}; \
         manifest-src 'self'; \
         worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types rl-fragment"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_this_origin_alone() {
        let policy = csp("AAAA", "wss://h.example", &[]);
        assert!(
            policy.starts_with(
                "default-src 'none'; script-src 'nonce-AAAA' 'strict-dynamic'; style-src 'self';"
            )
        );
        assert!(policy.contains("connect-src 'self' wss://h.example;"));
        assert!(csp("A", "", &[]).contains("connect-src 'self';"));
        assert!(!policy.contains("unsafe"));
        let policy = csp("A", "", &["https://files.example".to_owned()]);
        assert!(policy.contains("img-src 'self' blob: data: https://files.example;"));
        assert!(policy.contains("connect-src 'self' https://files.example;"));
    }
}
