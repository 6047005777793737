//! `cargo xtask test`: the tests, cheapest first, and one line at the end that says how it went.

use std::time::Instant;

use anyhow::bail;

use crate::command::{cargo, run, watch};
use crate::tally::Tally;
use crate::workspace::{entries, test_folders};
use crate::{check, setup};

/// The integration binary that drives the product from outside.
const BLACK_BOX: &str = "blackbox";

/// Set-up, checks, unit and component tests, the binary, black-box tests.
pub(crate) fn everything() -> anyhow::Result<()> {
    let began = Instant::now();
    setup::for_tests()?;
    check::all()?;
    let mut tally = Tally::default();
    let unit = unit_and_component(&mut tally)?;
    // What the black-box tests drive; they find it beside their own binary.
    run(&mut cargo(&["build", "--workspace", "--bins"]))?;
    let black_box =
        watch(&mut cargo(&["test", "--workspace", "--no-fail-fast", "--test", BLACK_BOX]), |line| {
            tally.read(line);
        })?;
    conclude(tally, unit && black_box, began)
}

/// Unit and component tests alone.
pub(crate) fn fast() -> anyhow::Result<()> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let good = unit_and_component(&mut tally)?;
    conclude(tally, good, began)
}

/// Always over the whole workspace: with `--package` cargo would choose other features for the
/// dependencies and build them a second time.
fn unit_and_component(tally: &mut Tally) -> anyhow::Result<bool> {
    let mut test = cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
    for name in component_tests()? {
        test.args(["--test", &name]);
    }
    watch(&mut test, |line| tally.read(line))
}

/// The names of all integration binaries but the black-box one.
fn component_tests() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in test_folders()? {
        let binaries = entries(&folder)?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "rs") || path.join("main.rs").is_file());
        names.extend(binaries.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    }
    names.retain(|name| name != BLACK_BOX);
    names.sort();
    names.dedup();
    Ok(names)
}

fn conclude(tally: Tally, good: bool, began: Instant) -> anyhow::Result<()> {
    eprintln!("\ntook {} s", began.elapsed().as_secs());
    println!("\n{tally}");
    if good && tally.is_good() {
        return Ok(());
    }
    bail!("not every test passed")
}
