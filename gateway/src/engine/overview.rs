//! Showing the owner which instances there are. Who is the owner is asked of the owner's instance.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{ACCEPT, COOKIE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri, request};
use http_body::Body;

use super::awake::page::{Page, Tongue};
use super::body::Answer;
use super::exchange::{self, Reply};
use super::live::Upstream;
use super::pages::{self, Trouble};
use super::proxy::Client;
use super::upload::Upload;
use super::visit::Visit;
use crate::cookie;
use crate::listener::Scheme;
use crate::owner_page::{self, Row};

/// The longest answer about a login, in bytes.
const LONGEST: usize = 4 * 1024;

impl Client {
    /// Answers with the page, or leads to where the owner signs in.
    pub(crate) async fn overview(
        &self,
        visit: &Visit,
        owner: &Arc<Upstream>,
        shared: bool,
        head: &request::Parts,
    ) -> Response<Answer> {
        let prefix = if shared { owner.route.prefix.as_str() } else { "" };
        match self.is_owner(owner, shared, head).await {
            Ok(true) => pages::page_of(self.page(visit, prefix, head), StatusCode::OK, &visit.request_id),
            Ok(false) => pages::redirect(StatusCode::FOUND, &format!("{prefix}/login?next=_gateway%2F")),
            Err(trouble) => pages::trouble(trouble, visit.form, &visit.request_id),
        }
    }

    async fn is_owner(
        &self,
        owner: &Arc<Upstream>,
        shared: bool,
        head: &request::Parts,
    ) -> Result<bool, Trouble> {
        let cookies = if shared {
            cookie::to_instance(&head.headers, &owner.route.cookie_prefix, false)
        } else {
            head.headers.get(COOKIE).cloned()
        };
        let Some(cookies) = cookies else { return Ok(false) };
        let timeouts = &self.core.settings.timeouts;
        let link = owner.pool.connect(timeouts.connect).await.map_err(|_| Trouble::UNREACHABLE)?;
        let mut request = Request::new(Upload::empty());
        *request.uri_mut() = Uri::from_static("/api/auth/me");
        let host = HeaderValue::try_from(&owner.authority).map_err(|_| Trouble::UNREACHABLE)?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(COOKIE, cookies);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let sent = exchange::send(link, Arc::clone(&owner.pool), request, timeouts).await;
        let answer = sent.map_err(|_| Trouble::UNREACHABLE)?;
        if answer.status() != StatusCode::OK {
            return Ok(false);
        }
        let told = read(answer.into_body()).await.ok_or(Trouble::BROKEN)?;
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
        Ok(told["role"] == "owner")
    }

    fn page(&self, visit: &Visit, prefix: &str, head: &request::Parts) -> Page {
        let live = self.core.snapshot.load();
        let scheme = match self.listener().scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let row = |upstream: &Arc<Upstream>| {
            let (route, standing) = (&upstream.route, &upstream.standing);
            let by_prefix = (!prefix.is_empty()).then(|| format!("{}/", route.prefix));
            let by_host = route.hosts.iter().map(|host| format!("{scheme}://{host}/"));
            let last = standing.last.load(Ordering::Relaxed);
            Row {
                name: route.name.clone(),
                state: upstream.state(),
                used: (last > 0).then(|| visit.now.as_secs().saturating_sub(last)),
                open: standing.requests.inside()
                    + standing.sockets.load(Ordering::Relaxed)
                    + standing.streams.load(Ordering::Relaxed),
                links: by_prefix.into_iter().chain(by_host).collect(),
            }
        };
        let rows: Vec<Row> = live.upstreams.iter().map(row).collect();
        let problems: Vec<String> = live.problems.iter().map(ToString::to_string).collect();
        let chinese = Tongue::of(&head.headers) == Tongue::Chinese;
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
        Page {
            html: owner_page::render(&rows, &problems, &format!("{prefix}/"), chinese),
            policy: policy.to_owned(),
            after: 0,
        }
    }
}

/// Reads a short body; `None` when it breaks off or is longer.
async fn read(mut reply: Reply) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut reply).poll_frame(cx)).await {
        bytes.extend_from_slice(frame.ok()?.data_ref()?);
        if bytes.len() > LONGEST {
            return None;
        }
    }
    Some(bytes)
}
