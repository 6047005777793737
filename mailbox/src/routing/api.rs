//! The few calls of Cloudflare's API that routes need. What we do not know of an answer is left alone.

use std::fmt;

use remotelab_config::Env;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::plan::{MARK, Operation};
use crate::outbound::client;

/// Where the API is, unless the environment says otherwise.
const BASE: &str = "https://api.cloudflare.com/client/v4";
const BASE_ENV: &str = "REMOTELAB_CLOUDFLARE_API";

/// Rules on a page, and pages that are read.
const PAGE: usize = 50;
const MAX_PAGES: usize = 50;

/// A way to sign in. `Debug` shows no secret.
pub(super) struct Api {
    base: String,
    sign_in: SignIn,
}

enum SignIn {
    Token(String),
    Key { email: String, key: String },
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub(super) zone_id: String,
    pub(super) enabled: bool,
    pub(super) subaddressing: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) catch_all: Option<Rule>,
    pub(super) settings: Value,
}

/// A rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) enabled: bool,
    priority: i64,
    matchers: Vec<Value>,
    actions: Vec<Value>,
}

impl Rule {
    /// The address that it is for, in lower case.
    pub(super) fn literal(&self) -> Option<&str> {
        let is_literal = |matcher: &&Value| matcher["type"] == "literal" && matcher["field"] == "to";
        self.matchers.iter().find(is_literal)?["value"].as_str()
    }

    pub(super) fn leads_to(&self, worker: &str) -> bool {
        let is_it = |value: &Value| {
            value == worker || value.as_array().is_some_and(|list| list.iter().any(|one| one == worker))
        };
        self.actions.iter().any(|action| action["type"] == "worker" && is_it(&action["value"]))
    }

    pub(super) fn is_drop(&self) -> bool {
        self.actions.iter().all(|action| action["type"] == "drop")
    }

    /// What it does, for people.
    pub(super) fn action(&self) -> String {
        let one =
            |action: &Value| format!("{} {}", action["type"].as_str().unwrap_or_default(), action["value"]);
        self.actions.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Live {
    pub(super) fn shown(&self) -> Value {
        let rule = |rule: &Rule| json!({"id": rule.id, "name": rule.name, "enabled": rule.enabled, "address": rule.literal(), "action": rule.action()});
        json!({
            "zoneId": self.zone_id, "settings": self.settings, "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "catchAllRule": self.catch_all.as_ref().map(rule),
        })
    }
}

impl Api {
    /// Signs in as the environment says, else the file. `None`: neither does.
    pub(super) fn open(env: &Env, file: &Value) -> Option<Self> {
        let text = |names: &[&str], keys: &[&str]| -> Option<String> {
            let of_env = names.iter().find_map(|name| env.get(name)).map(str::to_owned);
            of_env.or_else(|| keys.iter().find_map(|key| file[*key].as_str().map(str::to_owned)))
        };
        let base = env.get(BASE_ENV).unwrap_or(BASE).trim_end_matches('/').to_owned();
        if let Some(token) = text(&["CLOUDFLARE_API_TOKEN"], &["apiToken", "token"]) {
            return Some(Self { base, sign_in: SignIn::Token(token) });
        }
        let email = text(&["CLOUDFLARE_EMAIL"], &["email"])?;
        let key = text(&["CLOUDFLARE_GLOBAL_API_KEY", "CLOUDFLARE_API_KEY"], &["globalApiKey", "apiKey"])?;
        Some(Self { base, sign_in: SignIn::Key { email, key } })
    }

    pub(super) fn mode(&self) -> &'static str {
        match self.sign_in {
            SignIn::Token(_) => "api_token",
            SignIn::Key { .. } => "global_api_key",
        }
    }

    /// Reads everything about a zone.
    pub(super) async fn live(&self, zone: &str) -> Result<Live, String> {
        let zones = self.call(Method::GET, &format!("/zones?name={}", escaped(zone)), None).await?;
        let zone_id = zones["result"][0]["id"].as_str().ok_or_else(|| format!("no zone {zone}"))?.to_owned();
        let routing = format!("/zones/{}/email/routing", escaped(&zone_id));
        let settings = self.call(Method::GET, &routing, None).await?["result"].take();
        let mut rules: Vec<Rule> = Vec::new();
        for page in 1..=MAX_PAGES {
            let mut answer =
                self.call(Method::GET, &format!("{routing}/rules?per_page={PAGE}&page={page}"), None).await?;
            let found: Vec<Rule> = serde_json::from_value(answer["result"].take())
                .map_err(|error| format!("rules not understood: {error}"))?;
            let is_last = match answer["result_info"]["total_pages"].as_u64() {
                Some(total) => page as u64 >= total,
                None => found.len() < PAGE,
            };
            rules.extend(found);
            if is_last {
                break;
            }
        }
        // The rule for all others is listed among them, too.
        rules.retain(|rule| rule.literal().is_some());
        let catch_all = self.call(Method::GET, &format!("{routing}/rules/catch_all"), None).await.ok();
        let catch_all = catch_all.and_then(|mut answer| serde_json::from_value(answer["result"].take()).ok());
        Ok(Live {
            zone_id,
            enabled: settings["enabled"].as_bool().unwrap_or(false),
            subaddressing: settings["support_subaddress"].as_bool().unwrap_or(false),
            rules,
            catch_all,
            settings,
        })
    }

    /// Makes one change.
    pub(super) async fn carry_out(
        &self,
        live: &Live,
        operation: &Operation,
        worker: &str,
    ) -> Result<(), String> {
        let routing = format!("/zones/{}/email/routing", escaped(&live.zone_id));
        let known = |id: &str| live.rules.iter().find(|rule| rule.id == id);
        let (method, path, body) = match operation {
            Operation::Enable => (Method::POST, format!("{routing}/dns"), Some(json!({}))),
            Operation::Subaddressing => {
                (Method::PATCH, routing, Some(json!({"support_subaddress": true, "skip_wizard": true})))
            }
            Operation::Create(address) => {
                (Method::POST, format!("{routing}/rules"), Some(rule(None, address, worker)))
            }
            Operation::Update(id, address) => (
                Method::PUT,
                format!("{routing}/rules/{}", escaped(id)),
                Some(rule(known(id), address, worker)),
            ),
            Operation::Delete(id, _) => (Method::DELETE, format!("{routing}/rules/{}", escaped(id)), None),
            Operation::CatchAll => {
                let body = json!({"enabled": true, "name": format!("{MARK}catch-all-worker"), "matchers": [{"type": "all"}],
                    "actions": [{"type": "worker", "value": [worker]}]});
                (Method::PUT, format!("{routing}/rules/catch_all"), Some(body))
            }
        };
        self.call(method, &path, body).await.map(|_| ())
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.base);
        let client = client(&url).map_err(|_| "no HTTP client can be made here".to_owned())?;
        let mut call: RequestBuilder = client.request(method, &url);
        call = match &self.sign_in {
            SignIn::Token(token) => call.bearer_auth(token),
            SignIn::Key { email, key } => call.header("X-Auth-Email", email).header("X-Auth-Key", key),
        };
        if let Some(body) = &body {
            call = call.json(body);
        }
        let answer = call.send().await.map_err(|error| error.without_url().to_string())?;
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap_or_default();
        if status.is_success() && answer["success"] != false {
            return Ok(answer);
        }
        let errors = answer["errors"].as_array().into_iter().flatten();
        let one =
            |error: &Value| format!("{}:{}", error["code"], error["message"].as_str().unwrap_or_default());
        let told = errors.map(one).collect::<Vec<_>>().join("; ");
        Err(if told.is_empty() { format!("status {status}") } else { told })
    }
}

/// A rule that leads an address to the Worker; one that is there keeps its place, and its name when it is ours.
fn rule(known: Option<&Rule>, address: &str, worker: &str) -> Value {
    let slug: String = address.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kept = known.map(|rule| rule.name.clone()).filter(|name| name.starts_with(MARK));
    json!({
        "enabled": true,
        "name": kept.unwrap_or_else(|| format!("{MARK}mailbox-{slug}")),
        "priority": known.map_or(0, |rule| rule.priority),
        "matchers": [{"type": "literal", "field": "to", "value": address}],
        "actions": [{"type": "worker", "value": [worker]}],
    })
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base).finish_non_exhaustive()
    }
}
