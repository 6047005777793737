//! `GET /api/openapi.json`: the API as a document. It is made of the tables in [`operations`] and [`schemas`];
//! a test compares them with the router and with the recorded `docs/openapi.json`.

mod operations;
mod schemas;

use axum::response::Response;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::access::{self, Reach};
use super::conditional;
use operations::{Access, OPERATIONS, Operation};

/// Sends the document.
pub(super) async fn document(headers: HeaderMap) -> Response {
    conditional::json(&headers, &whole())
}

fn whole() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(operation);
    }
    paths.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "RemoteLab instance",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One chat server. See docs/external-message-protocol.md for how a connector uses it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "login": {"type": "apiKey", "in": "cookie", "name": "session_token",
                    "description": "The owner's login, made by GET /?token=."},
                "owner": {"type": "http", "scheme": "bearer",
                    "description": "The owner's token, which is the token of auth.json."},
                "token": {"type": "http", "scheme": "bearer",
                    "description": "A connector's token, made by POST /api/tokens."},
                "run": {"type": "http", "scheme": "bearer",
                    "description": "A run's token, REMOTELAB_RUN_TOKEN, for its own session and those that it started."},
            },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let mut answers = Map::new();
    for &(status, description, schema) in operation.answers {
        let mut answer = json!({"description": description});
        if let Some((media, schema)) = schemas::content(schema) {
            answer["content"] = json!({media: {"schema": schema}});
        }
        answers.insert(status.to_string(), answer);
    }
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    answers.insert("default".into(), json!({"description": "Refused, with the reason.", "content": error}));
    let run = if is_open_to_runs(operation) { &["run"][..] } else { &[] };
    let schemes = match operation.access {
        Access::Public => Vec::new(),
        Access::Owner => [&["login", "owner"], run].concat(),
        Access::Connector => [&["login", "owner", "token"], run].concat(),
    };
    let security: Vec<Value> = schemes.into_iter().map(|scheme| json!({scheme: []})).collect();
    let mut described = json!({
        "summary": operation.summary,
        "security": security,
        "parameters": parameters(operation),
        "responses": answers,
    });
    if let Some(schema) = operation.body {
        let content =
            json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

/// Tells whether any run may call it.
fn is_open_to_runs(operation: &Operation) -> bool {
    let method = Method::from_bytes(operation.method.to_ascii_uppercase().as_bytes()).unwrap_or_default();
    matches!(access::reach_of_runs(&method, Some(operation.path)), Some(Reach::Anywhere | Reach::Own))
}

/// What the path and the query hold.
fn parameters(operation: &Operation) -> Vec<Value> {
    let named = operation.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let of_path =
        named.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let of_query = operation.query.iter().map(|(name, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
    });
    of_path.chain(of_query).collect()
}
