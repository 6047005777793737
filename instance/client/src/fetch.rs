//! Answers that are taken as they come: of any length, of any media type.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::Value;

use crate::{Error, Instance, body, builder, send};

/// How long all of an answer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);
/// What is read of an answer that says no (bytes).
const REFUSAL_MAX: usize = 64 << 10;
const STEP: &str = "ask the instance";

/// An answer whose body is read piece by piece.
#[derive(Debug)]
pub struct Fetched(Response);

impl Instance {
    /// Sends any request to the API and hands its answer on. A file that is kept elsewhere is read there, without
    /// telling who asks.
    ///
    /// # Errors
    /// Any [`Error`]; every status but 2xx is one.
    pub async fn fetch(&self, method: Method, path: &str, content: Option<&Value>) -> Result<Fetched, Error> {
        let build = || {
            let call = self.call(method.clone(), path).timeout(FETCH_TIMEOUT);
            Ok(match content {
                Some(content) => call.json(content),
                None => call,
            })
        };
        let response = self.send_signed_in(STEP, build).await?;
        let response = match elsewhere(&response) {
            Some(address) => {
                // Another place than the instance's, which may be reached through its socket.
                let http = builder(FETCH_TIMEOUT).build().map_err(|error| Error::Setup(error.to_string()))?;
                send(STEP, http.get(address)).await?
            }
            None => response,
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Fetched(response));
        }
        let bytes = body::read(STEP, response, REFUSAL_MAX).await?;
        Err(Error::Refused { step: STEP, status, message: body::error_text(&bytes) })
    }
}

impl Fetched {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers in their order, as far as they are text.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.0.headers().iter();
        headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// Reads the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the connection breaks.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.0.chunk().await;
        piece.map_err(|source| Error::Unreachable { step: STEP, source: source.without_url() })
    }
}

/// Where an answer sends its reader to, when that is not the instance.
fn elsewhere(response: &Response) -> Option<String> {
    if !response.status().is_redirection() {
        return None;
    }
    let address = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let is_whole = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme));
    is_whole.then(|| address.to_owned())
}
