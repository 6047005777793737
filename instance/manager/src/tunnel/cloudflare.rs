//! The part of Cloudflare's interface that names need.

use std::time::Duration;

use remotelab_config::{Env, OwnerPaths, atomic};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Where it is.
const BASE: &str = "https://api.cloudflare.com/client/v4";

/// Another place, for tests and proxies.
const BASE_SETTING: &str = "CLOUDFLARE_API_BASE_URL";

/// Records that were made here say so; no other is ever removed.
const MARK: &str = "made by RemoteLab";

const PATIENCE: Duration = Duration::from_secs(15);

/// How long one waits when there were too many requests, and how often.
const MAX_PAUSE: Duration = Duration::from_secs(5);
const TRIES: usize = 3;

/// The longest answer, in bytes, and the most pages of a list.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
const MAX_PAGES: u32 = 100;

/// Why Cloudflare did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be asked.
    #[error("Cloudflare cannot be asked")]
    Unreachable(#[source] reqwest::Error),
    /// It said no.
    #[error("Cloudflare says: {message} (code {code})")]
    Refused {
        /// What it calls the reason.
        code: u32,
        /// The reason.
        message: String,
    },
    /// It said something else.
    #[error("Cloudflare answered with status {0} and no reason")]
    Odd(u16),
    /// There were too many requests.
    #[error("Cloudflare wants fewer requests; try again in {0} s")]
    TooMany(u64),
    /// The account has no such zone.
    #[error("no zone of the account holds {0}")]
    NoZone(String),
    /// There is a record already.
    #[error("{hostname} leads to {content} already; `--overwrite-dns` changes that")]
    Foreign {
        /// The host name.
        hostname: String,
        /// Where it leads.
        content: String,
    },
    /// The runtime.
    #[error("Cloudflare cannot be asked")]
    Runtime(#[source] std::io::Error),
}

/// What is wanted of a host name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) hostname: &'a str,
    pub(super) target: &'a str,
    pub(super) overwrite: bool,
}

/// What was done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    Created,
    Changed,
    Already,
}

/// A record. Fields that are not known are not needed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pub(super) content: String,
    comment: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Zone {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    errors: Vec<Reason>,
    #[serde(default)]
    result: Value,
    result_info: Option<Info>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    code: u32,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Default, Deserialize)]
struct Info {
    #[serde(default)]
    total_pages: u32,
}

/// An account, and the right to change its names.
#[derive(Clone)]
pub(super) struct Cloudflare {
    base: String,
    headers: HeaderMap,
}

impl std::fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloudflare").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Cloudflare {
    /// Finds credentials in the environment or in `cloudflare-auth.json`.
    pub(super) fn find(paths: &OwnerPaths, env: &Env) -> Option<Self> {
        let file = paths.instance().config().join("cloudflare-auth.json");
        let file: Value = atomic::read_json(&file).ok().flatten().unwrap_or_default();
        let any = |in_env: &[&str], in_file: &[&str]| {
            let of_env = in_env.iter().find_map(|key| env.get(key)).map(str::to_owned);
            of_env.or_else(|| in_file.iter().find_map(|key| file[*key].as_str()).map(str::to_owned))
        };
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Some(())
        };
        if let Some(token) = any(&["CLOUDFLARE_API_TOKEN"], &["apiToken", "token"]) {
            put("authorization", &format!("Bearer {}", token.trim()))?;
        } else {
            put("x-auth-email", &any(&["CLOUDFLARE_EMAIL"], &["email"])?)?;
            let keys = ["CLOUDFLARE_GLOBAL_API_KEY", "CLOUDFLARE_API_KEY"];
            put("x-auth-key", &any(&keys, &["globalApiKey", "apiKey"])?)?;
        }
        let base = env.get(BASE_SETTING).unwrap_or(BASE).trim_end_matches('/').to_owned();
        Some(Self { base, headers })
    }

    /// Has a host name lead to a target.
    pub(super) fn ensure(&self, wanted: &Wanted<'_>) -> Result<Ensured, Error> {
        block(async {
            let (client, zone) = (self.client()?, self.zone(wanted.hostname).await?);
            let path = format!("/zones/{}/dns_records", zone.id);
            let records = self.records_in(&client, &path, wanted.hostname).await?;
            let body = json!({
                "type": "CNAME", "name": wanted.hostname, "content": wanted.target, "proxied": true, "ttl": 1,
                "comment": MARK,
            });
            if records.iter().any(|record| record.content == wanted.target) {
                return Ok(Ensured::Already);
            }
            // Other kinds stand beside an address.
            let address =
                records.iter().find(|record| matches!(record.kind.as_str(), "A" | "AAAA" | "CNAME"));
            match address {
                Some(record) if wanted.overwrite => {
                    self.ask(&client, Method::PUT, &format!("{path}/{}", record.id), Some(&body)).await?;
                    Ok(Ensured::Changed)
                }
                Some(record) => Err(Error::Foreign {
                    hostname: wanted.hostname.to_owned(),
                    content: record.content.clone(),
                }),
                None => {
                    self.ask(&client, Method::POST, &path, Some(&body)).await?;
                    Ok(Ensured::Created)
                }
            }
        })
    }

    /// Removes the record of a host name that leads to a target and was made here; tells whether there was one.
    pub(super) fn remove(&self, hostname: &str, target: &str) -> Result<bool, Error> {
        block(async {
            let (client, zone) = (self.client()?, self.zone(hostname).await?);
            let path = format!("/zones/{}/dns_records", zone.id);
            let records = self.records_in(&client, &path, hostname).await?;
            let is_ours =
                |record: &&Record| record.content == target && record.comment.as_deref() == Some(MARK);
            let Some(record) = records.iter().find(is_ours) else {
                return Ok(false);
            };
            self.ask(&client, Method::DELETE, &format!("{path}/{}", record.id), None).await?;
            Ok(true)
        })
    }

    /// All records of a host name.
    pub(super) fn records(&self, hostname: &str) -> Result<Vec<Record>, Error> {
        block(async {
            let (client, zone) = (self.client()?, self.zone(hostname).await?);
            self.records_in(&client, &format!("/zones/{}/dns_records", zone.id), hostname).await
        })
    }

    async fn records_in(&self, client: &Client, path: &str, hostname: &str) -> Result<Vec<Record>, Error> {
        self.list(client, &format!("{path}?name={hostname}")).await
    }

    /// The zone that holds a host name: the longest of those that could.
    async fn zone(&self, hostname: &str) -> Result<Zone, Error> {
        let client = self.client()?;
        let mut rest = hostname;
        while let Some((_, domain)) = rest.split_once('.') {
            if !domain.contains('.') {
                break;
            }
            let zones: Vec<Zone> = self.list(&client, &format!("/zones?name={domain}")).await?;
            if let Some(zone) = zones.into_iter().find(|zone| zone.name == domain) {
                return Ok(zone);
            }
            rest = domain;
        }
        Err(Error::NoZone(hostname.to_owned()))
    }

    /// All pages of a list.
    async fn list<T: DeserializeOwned>(&self, client: &Client, path: &str) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let answer =
                self.ask(client, Method::GET, &format!("{path}&per_page=100&page={page}"), None).await?;
            let rows = answer.result.as_array().cloned().unwrap_or_default();
            let is_last = rows.is_empty() || answer.result_info.unwrap_or_default().total_pages <= page;
            // A row of another kind is none of ours.
            all.extend(rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()));
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn ask(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Envelope, Error> {
        let mut pause = Duration::ZERO;
        for _ in 0..TRIES {
            tokio::time::sleep(pause).await;
            let mut request = client.request(method.clone(), format!("{}{path}", self.base));
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(Error::Unreachable)?;
            let status = answer.status();
            if status == StatusCode::TOO_MANY_REQUESTS {
                let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                pause = Duration::from_secs(seconds.and_then(|text| text.trim().parse().ok()).unwrap_or(1));
                if pause > MAX_PAUSE {
                    return Err(Error::TooMany(pause.as_secs()));
                }
                continue;
            }
            let envelope: Option<Envelope> = serde_json::from_slice(&bytes(answer).await?).ok();
            return match envelope {
                Some(envelope) if envelope.success => Ok(envelope),
                Some(Envelope { errors, .. }) if !errors.is_empty() => {
                    let Reason { code, message } = &errors[0];
                    Err(Error::Refused { code: *code, message: message.clone() })
                }
                _ => Err(Error::Odd(status.as_u16())),
            };
        }
        Err(Error::TooMany(pause.as_secs()))
    }

    fn client(&self) -> Result<Client, Error> {
        // Only fails when it was chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(self.headers.clone())
            .build()
            .map_err(Error::Unreachable)
    }
}

async fn bytes(mut answer: reqwest::Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Error::Unreachable)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_ANSWER {
            return Err(Error::Odd(answer.status().as_u16()));
        }
    }
    Ok(bytes)
}

fn block<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(work)
}
