//! A message as a form: text parts, and files that go to the disk while they come in.

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::wire::PostMessage;
use serde_json::Value;

use super::answer::Refusal;
use super::body;
use crate::app::Shared;
use crate::assets;
use crate::attachments::{self, Upload};
use crate::body_memory::{BodyMemory, Share};

/// All text parts of a form together, in bytes. The longest message fits.
const TEXTS: usize = 34 << 20;
/// How many parts a form may have.
const PARTS: usize = 1_000;

/// What a form holds.
#[derive(Default)]
pub(super) struct Form {
    pub(super) message: PostMessage,
    pub(super) uploads: Vec<Upload>,
    /// What messages of an assistant have besides.
    pub(super) run_id: Option<String>,
    pub(super) source: Option<String>,
    pub(super) render_as: Option<String>,
}

/// Tells whether a body is a form.
pub(super) fn is_one(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("multipart/form-data")
}

/// Reads a form. What was received of its files goes when they are not kept.
pub(super) async fn read(app: &Shared, request: Request) -> Result<Form, Refusal> {
    parts(Some(app), &app.body_memory, request).await
}

/// Reads the bytes of a form for those who look for some that it does not bear. Its files go nowhere.
pub(crate) fn read_bytes(boundary: &str, body: &[u8]) -> Option<PostMessage> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let request =
        Request::builder().header(CONTENT_TYPE, content_type).body(Body::from(body.to_vec())).ok()?;
    runtime.block_on(parts(None, &BodyMemory::new(), request)).ok().map(|form| form.message)
}

async fn parts(app: Option<&Shared>, memory: &BodyMemory, request: Request) -> Result<Form, Refusal> {
    let (parts, body) = request.into_parts();
    // Files go to the disk, however long it takes: texts alone take memory, and most take next to none.
    let mut texts = Texts { share: memory.share(), bytes: 0 };
    let limited = Body::new(http_body_util::Limited::new(body, body::MESSAGE));
    let mut form = Multipart::from_request(Request::from_parts(parts, limited), &())
        .await
        .map_err(|_| Refusal::bad_request("Bad request"))?;
    let mut read = Form::default();
    let mut count = 0;
    while let Some(field) = texts.share.within(form.next_field()).await?.map_err(refusal)? {
        count += 1;
        if count > PARTS {
            return Err(body::too_large());
        }
        let name = field.name().unwrap_or_default().to_owned();
        if matches!(name.as_str(), "attachments" | "images") && field.file_name().is_some() {
            read.uploads.extend(texts.share.within(upload(app, field)).await??);
        } else {
            let text = texts.read(field).await?;
            set(&mut read, &name, text);
        }
    }
    Ok(read)
}

/// The answer to what is wrong with a file of a message; `not_ready` is for one whose upload goes on.
pub(super) fn refusal_of(error: attachments::Error, not_ready: StatusCode) -> Refusal {
    match error {
        attachments::Error::NotReady(_) => Refusal::new(not_ready, error.to_string()),
        attachments::Error::Asset(error) => error.into(),
        other => Refusal::bad_request(other.to_string()),
    }
}

async fn upload(app: Option<&Shared>, mut field: Field<'_>) -> Result<Option<Upload>, Refusal> {
    let Some(app) = app else {
        while field.chunk().await.map_err(refusal)?.is_some() {}
        return Ok(None);
    };
    let name = field.file_name().map(str::to_owned);
    let media_type = field.content_type().map(str::to_owned);
    let mut incoming = attachments::begin(app, body::MESSAGE as u64).await?;
    while let Some(chunk) = field.chunk().await.map_err(refusal)? {
        incoming.write(&chunk).await.map_err(assets::Error::from)?;
    }
    Ok(Some(Upload { name, media_type, incoming }))
}

/// The text parts of a form, and what they take of the memory.
struct Texts<'a> {
    share: Share<'a>,
    bytes: usize,
}

impl Texts<'_> {
    async fn read(&mut self, mut field: Field<'_>) -> Result<String, Refusal> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.share.within(field.chunk()).await?.map_err(refusal)? {
            self.bytes += chunk.len();
            if self.bytes > TEXTS {
                return Err(body::too_large());
            }
            self.share.cover(self.bytes as u64, TEXTS as u64).await?;
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| Refusal::bad_request("Bad request"))
    }
}

/// Takes a text part of a form. Malformed JSON in one is ignored, as connectors expect.
fn set(form: &mut Form, name: &str, text: String) {
    let message = &mut form.message;
    match name {
        "runId" => form.run_id = Some(text),
        "source" => form.source = Some(text),
        "renderAs" => form.render_as = Some(text),
        "requestId" => message.request_id = Some(text),
        "text" => message.text = text,
        "tool" => message.tool = Some(text),
        "model" => message.model = Some(text),
        "effort" => message.effort = Some(text),
        "thinking" => message.thinking = Some(Value::Bool(text == "true")),
        "sourceContext" => message.source_context = serde_json::from_str(&text).ok(),
        "completionTargets" => message.completion_targets = serde_json::from_str(&text).ok(),
        "existingAttachments" | "existingImages" | "externalAttachments" | "externalAssets" => {
            if let Ok(Value::Array(mut more)) = serde_json::from_str(&text) {
                match &mut message.attachments {
                    Some(Value::Array(list)) => list.append(&mut more),
                    other => *other = Some(Value::Array(more)),
                }
            }
        }
        _ => {}
    }
}

fn refusal(error: MultipartError) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        body::too_large()
    } else {
        Refusal::bad_request("Bad request")
    }
}
