//! Signing in: with a token that comes along with every request or, at an instance of an older version, by a login
//! and its cookie.

use std::fmt;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use remotelab_config::auth::Auth;
use remotelab_config::secret::Secret;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};

use crate::{ANSWER_MAX, Error, Instance, KeptToken, body, send};

/// Ending a login.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a token that was refused is not presented again.
const REFUSED_TOKEN_REST: Duration = Duration::from_secs(300);

/// What a client signs in with.
#[derive(Debug)]
pub(crate) enum Credential {
    /// The owner's token, read from its file each time.
    Owner,
    /// The scoped token of a connector on the instance's own machine.
    Kept(KeptToken),
    /// A token that somebody handed over.
    Given(Bearer),
}

/// A token's text, which prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bearer(String);

/// What is known about signing in.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// It is the instance that the token is for.
    pub(crate) is_known: bool,
    /// `name=value`, once logged in.
    cookie: Option<String>,
    /// The token that was refused last, and when.
    refused: Option<(Secret, Moment)>,
    /// The scoped token that worked last.
    bearer: Option<Bearer>,
    /// When the instance turned out to know no scoped tokens.
    knows_no_tokens: Option<Moment>,
}

impl Login {
    /// Failed logins lock this machine's other clients out too, so a refused token rests.
    fn was_refused(&self, token: &Secret) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|(known, at)| known == token && at.elapsed() < REFUSED_TOKEN_REST)
    }
}

impl Instance {
    /// Signs in with a scoped token from now on. The owner token is left alone but for an instance of an
    /// older version, which knows no others.
    #[must_use]
    pub fn with_token(self, token: KeptToken) -> Self {
        Self { credential: Credential::Kept(token), ..self }
    }

    /// Signs in with this token from now on, and with nothing else.
    #[must_use]
    pub fn with_bearer(self, token: impl Into<String>) -> Self {
        Self { credential: Credential::Given(Bearer(token.into())), ..self }
    }

    /// Ends the login, so that no record of it stays behind; does nothing when there is none. A login that
    /// cannot be ended runs out by itself.
    pub async fn log_out(&self) {
        let held = self.login().cookie.take();
        if let Some(cookie) = held {
            let call = self.call(Method::POST, "/logout").timeout(LOGOUT_TIMEOUT);
            if let Err(error) = send("log out", call.header(header::COOKIE, cookie)).await {
                tracing::debug!(%error, "the login was not ended");
            }
        }
    }

    /// Sends with whatever it signs in with, once it is known that the instance is the one.
    pub(crate) async fn send_signed_in(
        &self,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        self.identify().await?;
        match &self.credential {
            Credential::Owner => self.send_as_owner(step, build).await,
            Credential::Kept(kept) => self.send_as_connector(kept, step, build).await,
            Credential::Given(token) => send(step, build()?.bearer_auth(&token.0)).await,
        }
    }

    async fn send_as_connector(
        &self,
        kept: &KeptToken,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let knows_none = self.login().knows_no_tokens;
        if knows_none.is_some_and(|at| at.elapsed() < REFUSED_TOKEN_REST) {
            return self.send_as_owner(step, build).await;
        }
        let mut refused = None;
        // The second time, what was refused is compared with what the instance knows.
        for _ in 0..2 {
            let held = self.login().bearer.clone().filter(|held| refused.as_ref() != Some(held));
            let Some(token) = (match held {
                Some(held) => Some(held),
                None => current(kept).await,
            }) else {
                break;
            };
            if refused.as_ref() == Some(&token) {
                break;
            }
            let response = send(step, build()?.bearer_auth(&token.0)).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                self.login().bearer = Some(token);
                return Ok(response);
            }
            self.login().bearer = None;
            refused = Some(token);
        }
        // It is in the instance's own list and still refused: an older version, which has no such list.
        self.login().knows_no_tokens = Some(Moment::now());
        self.send_as_owner(step, build).await
    }

    /// Sends with the owner's token. An older version takes it in exchange for a cookie only.
    async fn send_as_owner(
        &self,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let held = self.login().cookie.clone();
        if let Some(cookie) = held {
            let response = send(step, build()?.header(header::COOKIE, cookie)).await?;
            if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(response);
            }
        }
        let token = self.owner_token().await?;
        let response = send(step, build()?.bearer_auth(token.reveal())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if response.headers().contains_key(header::WWW_AUTHENTICATE) {
            self.login().refused = Some((token, Moment::now()));
            return Err(Error::TokenRefused);
        }
        let cookie = self.log_in(token).await?;
        send(step, build()?.header(header::COOKIE, cookie)).await
    }

    async fn owner_token(&self) -> Result<Secret, Error> {
        let path = self.auth_file.clone();
        let auth = tokio::task::spawn_blocking(move || Auth::load(&path))
            .await
            .map_err(|error| Error::Setup(error.to_string()))??;
        if self.login().was_refused(&auth.token) {
            return Err(Error::TokenRefused);
        }
        Ok(auth.token)
    }

    async fn log_in(&self, token: Secret) -> Result<String, Error> {
        const STEP: &str = "log in";
        let call = self.call(Method::GET, "/").query(&[("token", token.reveal())]);
        let response = send(STEP, call).await?;
        let status = response.status();
        if status != StatusCode::FOUND {
            let bytes = body::read(STEP, response, ANSWER_MAX).await?;
            let message = body::error_text(&bytes);
            return Err(Error::Refused { step: STEP, status, message });
        }
        let Some(cookie) = session_cookie(&response) else {
            self.login().refused = Some((token, Moment::now()));
            return Err(Error::TokenRefused);
        };
        let mut login = self.login();
        login.cookie = Some(cookie.clone());
        login.refused = None;
        drop(login);
        Ok(cookie)
    }

    pub(crate) fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// Reads or makes the scoped token off the async threads; without one the owner's has to do.
async fn current(kept: &KeptToken) -> Option<Bearer> {
    let kept = kept.clone();
    match tokio::task::spawn_blocking(move || kept.current()).await {
        Ok(Ok(token)) => Some(Bearer(token)),
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "there is no scoped token for this instance");
            None
        }
        Err(_) => None,
    }
}

/// Returns `name=value` of the first cookie that is not being cleared.
fn session_cookie(response: &Response) -> Option<String> {
    response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .map(str::trim)
        .find(|pair| pair.split_once('=').is_some_and(|(_, value)| !value.is_empty()))
        .map(str::to_owned)
}
