//! Installing the page as an app, and moving the login into it.
//!
//! An app has cookies of its own, so it starts at an address that holds a hand-off: a login for whoever has
//! it first, within a day. One is made on a deliberate act alone: by the button of the install page, or when
//! a browser says that a person went there from our own page or by typing the address. A link or a picture
//! of another site makes none.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_store::handoffs;
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::answer::{self, NO_STORE, Refusal};
use super::body;
use super::gate::Nonce;
use super::pages::{self, Visit};
use super::query::Query;
use crate::app::{Shared, blocking};
use crate::auth::Owner;
use crate::auth::handoff::Redeemed;
use crate::outside::Outside;
use crate::web::assets;
use crate::web::pages::{self as documents, InstallPage};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct InstallQuery {
    h: String,
    source: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Form {
    form_token: String,
    source: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    token: String,
}

/// `GET /m/install`.
pub(super) async fn page(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Extension(Nonce(nonce)): Extension<Nonce>,
    owner: Option<Extension<Owner>>,
    Query(query): Query<InstallQuery>,
    headers: HeaderMap,
) -> Response {
    if query.h.is_empty() {
        let Some(Extension(owner)) = owner else { return answer::redirect("/login?next=m%2Finstall") };
        if is_deliberate(&headers) {
            return hand_off(&app, owner, &query.source).await;
        }
    }
    let visit = Visit::of(outside, nonce, &headers);
    let handoff = handoffs::is_well_formed(&query.h).then_some(query.h);
    let mut response = answer::html(documents::install(&InstallPage {
        base: visit.outside.base(),
        nonce: visit.nonce,
        language: visit.viewer.language,
        instance: app.settings.instance_name.clone(),
        form_token: visit.form_token,
        source: query.source,
        handoff,
    }));
    let fields = response.headers_mut();
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    fields.insert(EXPIRES, HeaderValue::from_static("0"));
    fields.insert(
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow, noarchive"),
    );
    response
}

/// `POST /m/install`: the button of the page.
pub(super) async fn start(
    State(app): State<Shared>,
    owner: Option<Extension<Owner>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Some(Extension(owner)) = owner else { return Ok(answer::redirect("/login?next=m%2Finstall")) };
    let bytes = body::bytes(body, body::SMALL).await?;
    let form: Form =
        serde_urlencoded::from_bytes(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?;
    let expected = pages::form_token(&headers);
    if !bool::from(form.form_token.as_bytes().ct_eq(expected.as_bytes())) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "The page is out of date. Reload it and try again."));
    }
    Ok(hand_off(&app, owner, &form.source).await)
}

/// `GET /manifest.install.json`: the ordinary manifest with another start.
pub(super) async fn manifest(Query(query): Query<InstallQuery>) -> Response {
    let mut manifest = assets::manifest();
    manifest["start_url"] = if handoffs::is_well_formed(&query.h) {
        format!("m/install?h={}", query.h).into()
    } else {
        "m/install".into()
    };
    let mut response = Response::new(Body::from(manifest.to_string()));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/manifest+json"));
    fields.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// `POST /api/install/handoff/redeem`.
pub(super) async fn redeem(State(app): State<Shared>, body: Body) -> Result<Response, Refusal> {
    let wanted: Wanted = body::json(body, body::SMALL, "Invalid request body").await?;
    let token = wanted.token.trim().to_owned();
    if token.is_empty() {
        return Err(Refusal::bad_request("Install handoff token is required"));
    }
    match blocking(move || app.auth.redeem(&token)).await {
        Redeemed::Granted(cookie) => {
            let answer = answer::json(StatusCode::OK, json!({"ok": true, "redirect": "/"}));
            Ok(not_kept(signed_in(answer, &cookie)))
        }
        Redeemed::Refused => {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "Install handoff expired or is no longer valid"))
        }
        Redeemed::Failed => {
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored"))
        }
    }
}

/// `GET /m/continue`: redeems by going there, for pages without script.
pub(super) async fn go_on(
    State(app): State<Shared>,
    owner: Option<Extension<Owner>>,
    Query(query): Query<InstallQuery>,
) -> Response {
    const START: &str = "/?skipInstall=1";
    if owner.is_some() {
        return not_kept(answer::redirect(START));
    }
    let worker = Arc::clone(&app);
    not_kept(match blocking(move || worker.auth.redeem(&query.h)).await {
        Redeemed::Granted(cookie) => signed_in(answer::redirect(START), &cookie),
        Redeemed::Refused => answer::redirect("/login"),
        Redeemed::Failed => answer::text(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored"),
    })
}

/// Tells whether a person went here, and not a page of somebody else or a browser that looks ahead. Browsers
/// say so to secure origins only; everybody else gets the button.
fn is_deliberate(headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    matches!(header("sec-fetch-site"), "same-origin" | "none")
        && header("sec-fetch-mode") == "navigate"
        && header("sec-fetch-dest") == "document"
        && header("sec-purpose").is_empty()
        && header("purpose").is_empty()
}

async fn hand_off(app: &Shared, owner: Owner, source: &str) -> Response {
    let worker = Arc::clone(app);
    match blocking(move || worker.auth.hand_off(&owner.preferred_language)).await {
        Ok(token) if source.is_empty() => not_kept(answer::redirect(&format!("/m/install?h={token}"))),
        Ok(token) => {
            let source = utf8_percent_encode(source, NON_ALPHANUMERIC);
            not_kept(answer::redirect(&format!("/m/install?h={token}&source={source}")))
        }
        Err(error) => {
            tracing::error!(%error, "cannot store a hand-off");
            answer::text(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored")
        }
    }
}

fn signed_in(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_person_who_goes_there_gets_a_hand_off() {
        let own = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let with = |changes: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in own.iter().chain(changes) {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_deliberate(&headers)
        };
        assert!(with(&[]) && with(&[("sec-fetch-site", "none")]));
        for change in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "iframe"),
            ("sec-purpose", "prefetch"),
        ] {
            assert!(!with(&[change]), "{change:?}");
        }
        assert!(!is_deliberate(&HeaderMap::new()));
    }
}
