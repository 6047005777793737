//! A request that comes while its instance sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request;

use super::page::{self, Tongue};
use super::{NotAwake, wake};
use crate::engine::live::Upstream;
use crate::engine::pages::Trouble;
use crate::engine::proxy::Client;
use crate::engine::visit::Visit;
use crate::wake::{Wakes, wakes};

/// How long a request waits for its instance.
const HELD: Duration = Duration::from_secs(10);
/// How long a person looks at nothing.
const BLANK: Duration = Duration::from_millis(300);

/// What somebody gets instead of an answer of the instance.
#[derive(Debug)]
pub(crate) enum Instead {
    Trouble(Trouble),
    Page(page::Page),
}

impl Client {
    /// Wakes an instance for a request that may do so. The body of the request stays with its client meanwhile.
    pub(crate) async fn awaken(
        &self,
        visit: &mut Visit,
        upstream: &Arc<Upstream>,
        shared: bool,
        target: &str,
        head: &request::Parts,
    ) -> Result<(), Instead> {
        visit.upstream = Some(Arc::clone(upstream));
        let wakes = wakes(&upstream.route, shared, &head.method, target, &head.headers);
        if wakes == Wakes::No {
            return Err(sleeping(visit, head));
        }
        let began = Instant::now();
        let patience = if wakes == Wakes::Shows { BLANK } else { HELD };
        let woken = wake(&self.core, upstream, patience).await;
        visit.waking = Some(began.elapsed());
        woken.map_err(|why| match (why, wakes) {
            (NotAwake::Late, Wakes::Shows) => {
                let prefix = if shared { upstream.route.prefix.as_str() } else { "" };
                Instead::Page(page::waiting(prefix, Tongue::of(&head.headers)))
            }
            (NotAwake::Late | NotAwake::Failed, _) => Instead::Trouble(Trouble::NOT_AWAKE),
            (NotAwake::Crowded, _) => Instead::Trouble(Trouble::BUSY),
        })
    }
}

/// For whom nobody is woken.
fn sleeping(visit: &Visit, head: &request::Parts) -> Instead {
    match visit.form {
        crate::engine::pages::Form::Json => Instead::Trouble(Trouble::ASLEEP),
        crate::engine::pages::Form::Html => Instead::Page(page::asleep(Tongue::of(&head.headers))),
    }
}
