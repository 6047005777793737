//! The page of a link that is good for a while: it says where the link leads, and its button goes there. Robots and
//! previews of messengers only read it, and use nothing up.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{ACCEPT_LANGUAGE, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, sign_in};
use crate::app::{Shared, blocking};
use crate::auth::enter::Entry;
use crate::outside::Outside;
use crate::web::Language;
use crate::web::pages::{self, EnterPage};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Presented {
    link: String,
}

/// `GET /enter`.
pub(super) async fn page(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Query(presented): Query<Presented>,
    headers: HeaderMap,
) -> Response {
    let (worker, link) = (Arc::clone(&app), presented.link.clone());
    let is_good = blocking(move || worker.auth.is_good_link(&link)).await;
    draw(&app, &outside, &headers, is_good.then_some(presented.link))
}

/// `POST /enter`: the button of the page.
pub(super) async fn submit(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let bytes = body::bytes(body, body::SMALL).await?;
    let presented: Presented =
        serde_urlencoded::from_bytes(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?;
    let (worker, view) = (Arc::clone(&app), outside.clone());
    let entry = blocking(move || worker.auth.enter(presented.link.trim(), &view)).await;
    Ok(match entry {
        Entry::Granted(cookie) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            discreet(response)
        }
        Entry::Ended => draw(&app, &outside, &headers, None),
        Entry::LockedOut => sign_in::locked_out(),
        Entry::Failed => answer::text(StatusCode::SERVICE_UNAVAILABLE, "The login could not be stored"),
    })
}

fn draw(app: &Shared, outside: &Outside, headers: &HeaderMap, link: Option<String>) -> Response {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has_ended = link.is_none();
    let mut response = answer::html(pages::enter(&EnterPage {
        base: outside.base(),
        language: Language::from_accept(accepted),
        instance: app.settings.instance_name.clone(),
        link,
    }));
    if has_ended {
        *response.status_mut() = StatusCode::GONE;
    }
    discreet(response)
}

/// Keeps the address of a link from others: pages that it leads to, and robots.
fn discreet(mut response: Response) -> Response {
    let fields = response.headers_mut();
    // With `no-referrer` a browser would not say that the form is of our own page.
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    fields.insert(
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow, noarchive"),
    );
    response
}
