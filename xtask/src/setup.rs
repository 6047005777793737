//! `cargo xtask setup`: a fresh Debian with only Rust and Node becomes one that can run everything.

mod crates;
mod debian;
mod npm;

pub(crate) use crates::deny as cargo_deny;
pub(crate) use npm::bin as npm_bin;

/// A browser with its driver, faces for every script that a page may show, a mail server.
const FOR_TESTS: &[&str] = &[
    "bubblewrap",
    "chromium",
    "chromium-driver",
    "fonts-noto-core",
    "fonts-noto-cjk",
    "fonts-noto-color-emoji",
    "python3-aiosmtpd",
];

/// Peers to measure beside, and the load. Apart, because Debian starts servers that it installs.
const FOR_BENCHES: &[&str] = &["nginx", "haproxy", "wrk"];

pub(crate) fn everything() -> anyhow::Result<()> {
    debian::install(&[FOR_TESTS, FOR_BENCHES].concat())?;
    crates::install_storage()?;
    for_checks()?;
    eprintln!("everything is in place");
    Ok(())
}

pub(crate) fn for_tests() -> anyhow::Result<()> {
    debian::install(FOR_TESTS)?;
    crates::install_storage()?;
    for_checks()
}

pub(crate) fn for_benches() -> anyhow::Result<()> {
    debian::install(FOR_BENCHES)
}

pub(crate) fn for_checks() -> anyhow::Result<()> {
    npm::install()?;
    crates::install_deny()
}
