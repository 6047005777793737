//! The HTTP surface: one table of contents, then a file per subject.

mod actions;
mod answer;
mod assets;
mod assistant_messages;
mod body;
mod conditional;
mod delegation;
mod event_page;
mod event_pieces;
mod events;
mod files;
mod folders;
mod form;
mod gate;
mod health;
mod install;
mod messages;
mod openapi;
mod pages;
mod paging;
mod query;
mod range;
mod reply;
mod request_log;
mod run_scope;
mod run_views;
mod runs;
mod scope;
mod sessions;
mod settings;
mod sign_in;
mod socket;
mod stream;
mod tokens;
mod tools;
mod triggers;
mod ui;
mod webhooks;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, patch, post, put};

use std::time::Duration;

pub(crate) use form::read_bytes as read_form;
pub(crate) use range::read as read_range;

use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::Shared;
use crate::sleep;

/// How long a request's body may pause.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// Every route. Who may call which is decided in [`gate`].
pub(crate) fn router(app: Shared) -> Router {
    let api = Router::new()
        .route("/api/auth/me", get(sign_in::me))
        .route("/api/build-info", get(settings::build_info))
        .route("/api/health", get(health::health))
        .route("/api/install/handoff/redeem", post(install::redeem))
        .route("/api/openapi.json", get(openapi::document))
        .route("/api/runtime-selection", post(settings::select_runtime))
        .route("/api/sessions", get(sessions::list).post(sessions::create))
        .route("/api/sessions/archived", get(sessions::list_archived))
        .route("/api/sessions/{id}", get(sessions::get).patch(sessions::patch))
        .route("/api/sessions/{id}/{*rest}", patch(answer::invalid_session_path).fallback(answer::not_found))
        .route("/api/sessions/{id}/messages", post(messages::post))
        .route("/api/sessions/{id}/assistant-messages", post(assistant_messages::post))
        .route("/api/sessions/{id}/cancel", post(runs::cancel_session))
        .route("/api/sessions/{id}/delegate", post(delegation::delegate))
        .route("/api/sessions/{id}/fork", post(actions::fork))
        .route("/api/sessions/{id}/compact", post(actions::compact))
        .route("/api/sessions/{id}/drop-tools", post(actions::drop_tools))
        .route("/api/sessions/{id}/save-template", post(actions::save_template))
        .route("/api/sessions/{id}/apply-template", post(actions::apply_template))
        .route("/api/sessions/{id}/events", get(events::list))
        .route("/api/sessions/{id}/events/blocks/{range}", get(events::block))
        .route("/api/sessions/{id}/events/{seq}/body", get(events::body))
        .route("/api/sessions/{id}/runs", get(run_views::of_session))
        .route("/api/sessions/{id}/source-context", get(events::source_context))
        .route("/api/sessions/{id}/voice-transcriptions", post(answer::voice_transcriptions))
        .route("/api/sessions/{id}/stream", get(stream::open))
        .route("/api/runs/{id}", get(runs::get))
        .route("/api/runs/{id}/cancel", post(runs::cancel))
        .route("/api/runs/{id}/prompt", get(run_views::prompt))
        .route("/api/runs/{id}/reply", get(reply::get))
        .route("/api/runs/{id}/{*rest}", get(answer::invalid_run_path).fallback(answer::not_found))
        .route("/api/tokens", get(tokens::list).post(tokens::create))
        .route("/api/tokens/{id}", delete(tokens::revoke))
        .route("/api/tools", get(tools::list).post(tools::save))
        .route("/api/models", get(tools::models))
        .route("/api/triggers", get(triggers::list).post(triggers::create))
        .route("/api/triggers/{id}", get(triggers::get).patch(triggers::patch).delete(triggers::delete))
        .route("/api/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/api/webhooks/{id}", delete(webhooks::delete))
        .route("/api/browse", get(folders::browse))
        .route("/api/autocomplete", get(folders::autocomplete))
        .route("/api/media/{name}", get(files::media))
        .route("/api/images/{name}", get(files::media))
        .route("/api/assets/upload-intents", post(assets::begin))
        .route("/api/assets/{id}", get(assets::get))
        .route("/api/assets/{id}/content", put(assets::receive))
        .route("/api/assets/{id}/download", get(assets::download))
        .route("/api/assets/{id}/finalize", post(assets::finalize))
        .route("/ws", get(socket::open));
    let pages = Router::new()
        .route("/", get(pages::home))
        .route("/s/{id}", get(pages::session))
        .route("/login", get(sign_in::form).post(sign_in::submit))
        .route("/logout", get(sign_in::sign_out_by_link).post(sign_in::sign_out))
        .route("/m/install", get(install::page).post(install::start))
        .route("/m/continue", get(install::go_on))
        .route("/manifest.install.json", get(install::manifest))
        .route("/manifest.json", get(pages::asset))
        .route("/icon.svg", get(pages::asset))
        .route("/favicon.ico", get(pages::asset))
        .route("/assets/{*path}", get(pages::asset))
        .route("/ui/new", get(ui::new_task))
        .route("/ui/sessions", get(ui::list).post(ui::create))
        .route("/ui/sessions/{id}", get(ui::session))
        .route("/ui/sessions/{id}/timeline", get(ui::timeline))
        .route("/ui/sessions/{id}/writing", get(ui::writing))
        .route("/ui/sessions/{id}/blocks/{range}", get(ui::block))
        .route("/ui/sessions/{id}/messages", post(ui::send))
        .route("/ui/sessions/{id}/cancel", post(ui::cancel));
    api.merge(pages)
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(RequestBodyTimeoutLayer::new(BODY_IDLE))
        // Handlers read bodies themselves, each with its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), sleep::count))
        .layer(middleware::from_fn_with_state(app.clone(), gate::pass))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(answer::panicked))
        .layer(middleware::from_fn_with_state(app.clone(), request_log::note))
        .with_state(app)
}
