//! The name by which programs know an instance again: its server answers it to everybody, and whoever reads a
//! token from the instance's folder compares it first.

use std::path::Path;

use crate::atomic;

/// The longest, in bytes.
const BYTES: usize = 128;

/// Reads the id of the instance that a configuration folder is of; `None` before its server has first started.
///
/// # Errors
/// When the file cannot be read.
pub fn load(config: &Path) -> Result<Option<String>, atomic::Error> {
    let bytes = atomic::read(&config.join(FILE))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(Some(text).filter(|text| is_id(text)))
}

/// Returns an instance's id, the given one if there is one, and sees to it that the file says so.
///
/// # Errors
/// When the file cannot be read or written.
pub fn settle(config: &Path, given: &str) -> Result<String, atomic::Error> {
    let stored = load(config)?;
    let id = Some(given.to_owned()).filter(|given| is_id(given)).or_else(|| stored.clone());
    let id = id.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
    if stored.as_ref() != Some(&id) {
        atomic::write_private(&config.join(FILE), format!("{id}\n").as_bytes())?;
    }
    Ok(id)
}

const FILE: &str = "instance-id";

fn is_id(text: &str) -> bool {
    (1..=BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_id_until_it_is_given_another() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path();
        assert_eq!(load(config).unwrap(), None);
        let own = settle(config, "").unwrap();
        assert_eq!((own.len(), load(config).unwrap()), (32, Some(own.clone())));
        assert_eq!(settle(config, "not an id").unwrap(), own);
        assert_eq!(settle(config, "inst_1").unwrap(), "inst_1");
        assert_eq!(settle(config, "").unwrap(), "inst_1");
    }
}
