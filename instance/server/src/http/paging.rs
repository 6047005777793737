//! How much of a list is asked for, and where it begins.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// Reads `limit`, which more than `most` means `most`. A number that cannot be read is refused: unlike other
/// odd queries it would be answered with far more than was asked for.
pub(super) fn limit(text: Option<&str>, most: usize) -> Result<Option<usize>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(0) | Err(_) => Err(Refusal::bad_request(format!("limit must be a number from 1 to {most}"))),
        Ok(limit) => Ok(Some(most.min(limit))),
    }
}

/// Reads a number of an event.
pub(super) fn seq(name: &str, text: Option<&str>) -> Result<Option<u64>, Refusal> {
    let refusal = |_| Refusal::bad_request(format!("{name} must be the number of an event"));
    text.map(|text| text.parse().map_err(refusal)).transpose()
}

/// Writes a place as text that nobody is to look into.
pub(super) fn cursor(place: &impl Serialize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// Reads what [`cursor`] wrote.
pub(super) fn place<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, Refusal> {
    let read = |text| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    cursor.map(|text| read(text).ok_or_else(|| Refusal::bad_request("Invalid cursor"))).transpose()
}
