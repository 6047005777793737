//! File assets: upload in three steps, look at, download.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use remotelab_config::atomic;
use remotelab_protocol::{AssetId, SessionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::files::{self, DownloadQuery, Served};
use super::query::Query;
use super::{body, sessions};
use crate::app::{App, Shared, blocking};
use crate::assets::{self, Asset, Creator, Error, Provider, Status, Wanted, declared_type, viewable};
use crate::outside::Outside;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Intent {
    session_id: Option<String>,
    original_name: Option<String>,
    mime_type: Option<String>,
    size_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Completion {
    size_bytes: Option<u64>,
    etag: Option<String>,
}

/// `POST /api/assets/upload-intents`: a record, and the address that the bytes go to.
pub(super) async fn begin(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    body: Body,
) -> Result<Response, Refusal> {
    app.quota.check_room()?;
    let intent: Intent = body::json(body, body::CONTROL, "Invalid request body").await?;
    let session = intent.session_id.filter(|id| !id.trim().is_empty());
    let session = session.ok_or_else(|| Refusal::bad_request("sessionId is required"))?;
    let session: SessionId = sessions::find(&app, session.trim())?.id().clone();
    let wanted = Wanted {
        session,
        creator: Creator::Owner,
        name: intent.original_name.unwrap_or_default(),
        media_type: declared_type(intent.mime_type.as_deref()),
        size: intent.size_bytes,
    };
    let (asset, link) = app.assets.begin(wanted).await?;
    let (url, expires_at) = match link {
        Some(link) => (link.url, link.expires_at),
        None => (format!("{}api/assets/{}/content", outside.base(), asset.id), None),
    };
    let upload = json!({
        "method": "PUT", "url": url, "headers": {"Content-Type": asset.mime_type}, "expiresAt": expires_at,
    });
    Ok(answer::json(StatusCode::OK, json!({"asset": shown(&app, &asset, &outside), "upload": upload})))
}

/// `PUT /api/assets/:id/content`: the bytes of a file that is kept here.
pub(super) async fn receive(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let id = AssetId::parse(&id)?;
    app.quota.check_room()?;
    if body::announced(&headers).is_some_and(|length| length > assets::FILE_BYTES) {
        return Err(Error::TooLarge.into());
    }
    let asset = app.assets.receive(&id, body.into_data_stream()).await?;
    Ok(answer::json(StatusCode::OK, json!({"asset": shown(&app, &asset, &outside)})))
}

/// `POST /api/assets/:id/finalize`.
pub(super) async fn finalize(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let id = AssetId::parse(&id)?;
    let bytes = body::bytes(body, body::CONTROL).await?;
    let completion: Completion = if bytes.is_empty() {
        Completion::default()
    } else {
        serde_json::from_slice(&bytes).map_err(|_| Refusal::bad_request("Invalid request body"))?
    };
    let asset = app.assets.finalize(&id, completion.size_bytes, completion.etag).await?;
    Ok(answer::json(StatusCode::OK, json!({"asset": shown(&app, &asset, &outside)})))
}

/// `GET /api/assets/:id`.
pub(super) async fn get(
    State(app): State<Shared>,
    Extension(outside): Extension<Outside>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let asset = find(&app, &id).await?;
    Ok(answer::json(StatusCode::OK, json!({"asset": shown(&app, &asset, &outside)})))
}

/// `GET /api/assets/:id/download`.
pub(super) async fn download(
    State(app): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asset = find(&app, &id).await?;
    if !asset.is_ready() {
        return Err(Refusal::new(StatusCode::CONFLICT, "File asset is not ready"));
    }
    let download = query.download.is_some();
    if asset.storage.provider == Provider::S3Compatible {
        return away(&app, &asset, download, &headers).await;
    }
    let served = Served {
        path: app.assets.path(&asset),
        tag: format!("\"{}\"", asset.id),
        media_type: asset.mime_type,
        name: asset.original_name,
        cache: answer::NO_STORE,
        download,
    };
    files::send(&headers, served).await.ok_or_else(|| Error::NotFound.into())
}

/// Sends the client to the object storage, or passes on what it says where its links name no files.
async fn away(app: &App, asset: &Asset, download: bool, headers: &HeaderMap) -> Result<Response, Refusal> {
    let gone = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "File asset storage is not configured");
    let storage = app.assets.storage().ok_or_else(gone)?;
    let inline = !download && viewable(&asset.mime_type).is_some();
    if !(download && storage.names_no_files()) {
        let mut response = answer::redirect(&storage.link(asset, inline).url);
        response.headers_mut().insert(CACHE_CONTROL, answer::NO_STORE);
        return if response.headers().contains_key(LOCATION) {
            Ok(response)
        } else {
            Err(Error::NotFound.into())
        };
    }
    let found =
        storage.get(&asset.storage.object_key, headers.get(RANGE).cloned()).await.map_err(Error::from)?;
    let passed_on = [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE];
    let status = found.status();
    if !passed_on.contains(&status) {
        return Err(Error::from(assets::StorageError::Refused(status)).into());
    }
    let kept = [CONTENT_LENGTH, CONTENT_RANGE].map(|name| (found.headers().get(&name).cloned(), name));
    let mut response = Response::new(Body::from_stream(found.bytes_stream()));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for (value, name) in kept {
        fields.extend(value.map(|value| (name, value)));
    }
    files::describe(fields, &asset.mime_type, &asset.original_name, download);
    fields.insert(CACHE_CONTROL, answer::NO_STORE);
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

async fn find(app: &Shared, id: &str) -> Result<Asset, Refusal> {
    let id = AssetId::parse(id)?;
    let worker = Arc::clone(app);
    Ok(blocking(move || worker.assets.find(&id)).await?)
}

/// A file as the wire shows it.
fn shown(app: &App, asset: &Asset, outside: &Outside) -> Value {
    let download_url = format!("{}api/assets/{}/download", outside.base(), asset.id);
    let mut shown = json!({
        "id": asset.id, "sessionId": asset.session_id, "status": asset.status,
        "originalName": asset.original_name, "mimeType": asset.mime_type, "sizeBytes": asset.size_bytes,
        "createdAt": asset.created_at, "updatedAt": asset.updated_at, "downloadUrl": download_url,
    });
    if asset.status == Status::Ready {
        let away = app.assets.storage().filter(|_| asset.storage.provider == Provider::S3Compatible);
        let link = away.map(|storage| storage.link(asset, viewable(&asset.mime_type).is_some()));
        if let Some(expires_at) = link.as_ref().and_then(|link| link.expires_at.as_ref()) {
            shown["directUrlExpiresAt"] = json!(expires_at);
        }
        shown["directUrl"] = json!(link.map_or(download_url, |link| link.url));
    }
    shown
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Complete | Error::Busy | Error::NotUploaded => StatusCode::CONFLICT,
            Error::OtherSize { .. } | Error::BrokenOff | Error::NoFile(_) => StatusCode::BAD_REQUEST,
            Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Storage(_) => StatusCode::BAD_GATEWAY,
            Error::Disk(_) | Error::Record(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a file could not be stored or read");
        }
        match &error {
            // Their texts name folders of this host.
            Error::Disk(_) | Error::Record(atomic::Error { .. }) => {
                Self::new(status, "the file cannot be stored or read at the moment")
            }
            _ => Self::new(status, error.to_string()),
        }
    }
}
