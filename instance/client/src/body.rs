//! Reading answers within limits.

use remotelab_protocol::wire::ErrorBody;
use reqwest::Response;

use crate::Error;

/// Longest text taken over from an error answer, in characters.
const MESSAGE_MAX: usize = 300;

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(step: &'static str, mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| Error::Unreachable { step, source: source.without_url() })?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > limit {
            return Err(Error::TooLarge { step, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Returns the sentence of an error answer, whatever its shape.
pub(crate) fn error_text(bytes: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(body) => body.error,
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.trim().chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::error_text;

    #[test]
    fn takes_the_sentence_of_any_shape() {
        assert_eq!(error_text(br#"{"error":"Session not found"}"#), "Session not found");
        assert_eq!(error_text(b"Not Found\r\n"), "Not Found");
        assert_eq!(error_text(&[b'x'; 1000]).len(), 300);
    }
}
