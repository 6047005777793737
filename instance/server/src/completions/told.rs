//! What is told of the answers that wait: each when nothing more comes of its run.

use remotelab_protocol::{Run, RunId};
use remotelab_store::SessionCell;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::entry::{Entry, Open};
use crate::app::App;
use crate::reply;
use crate::settled::Settled;

/// How much of a reply is told, in bytes.
const REPLY_MAX: usize = 1 << 20;
/// How long the replies of a page may be together, in bytes. A page has one at least.
const PAGE_BYTES: usize = 4 << 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The kind of target; any without.
    pub(crate) kind: Option<String>,
    /// Also what somebody has in hand.
    pub(crate) again: bool,
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// The last one of a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place(RunId, String);

/// A page of answers.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) completions: Vec<Value>,
    pub(crate) next: Option<Place>,
}

impl App {
    /// Returns the answers that wait and can be told. Blocks.
    pub(crate) fn completions_of(&self, query: &Query) -> Page {
        let mut page = Page::default();
        let mut bytes = 0;
        let after = query.after.as_ref();
        let mut last = None;
        for entry in self.completions.behind(after.map(|Place(run, _)| run)) {
            let wanted = |open: &&Open| {
                (query.again || !open.taken)
                    && query.kind.as_ref().is_none_or(|kind| open.target["type"] == kind.as_str())
                    && after.is_none_or(|Place(run, key)| entry.run_id != *run || open.key > *key)
            };
            let mut wanted: Vec<&Open> = entry.open.iter().filter(wanted).collect();
            if wanted.is_empty() {
                continue;
            }
            let Some(answer) = self.answer_of(&entry) else { continue };
            wanted.sort_by(|a, b| a.key.cmp(&b.key));
            for open in wanted {
                if page.completions.len() == query.limit || bytes > PAGE_BYTES {
                    page.next = last;
                    return page;
                }
                bytes += answer["reply"].as_str().map_or(0, str::len);
                page.completions.push(told(&entry, open, &answer));
                last = Some(Place(entry.run_id.clone(), open.key.clone()));
            }
        }
        page
    }

    /// Returns what is to be told of a run; `None` while more may come of it.
    fn answer_of(&self, entry: &Entry) -> Option<Value> {
        let cell = self.store.session(&entry.session_id)?;
        let Ok(Some(run)) = self.store.run(&entry.run_id) else {
            let lost = "the record of the run is damaged, so its result is lost";
            return Some(
                json!({"state": "failed", "failureReason": lost, "reply": null, "replyTruncated": false,
                "attachments": [], "requestIds": [], "settledRunId": entry.run_id}),
            );
        };
        if self.publishing.is_under_way(&run.id) {
            return None;
        }
        let Settled { run: standing, reply: settled } = self.settled(&cell, &run)?;
        if self.publishing.is_under_way(&standing.id) {
            return None;
        }
        let mut texts = Vec::from_iter(settled.chosen.map(|chosen| chosen.text));
        if standing.id != run.id {
            texts.splice(..0, own_text(&cell, &run).filter(|own| !texts.contains(own)));
        }
        let text = Some(texts.join("\n\n")).filter(|text| !text.is_empty());
        let cut = text.as_ref().map(|text| &text[..text.floor_char_boundary(REPLY_MAX)]);
        Some(json!({
            "state": run.state,
            "failureReason": run.failure_reason,
            "reply": cut,
            "replyTruncated": cut.map(str::len) != text.as_ref().map(String::len),
            "attachments": settled.attachments,
            "requestIds": settled.request_ids,
            "settledRunId": standing.id,
        }))
    }
}

fn own_text(cell: &SessionCell, run: &Run) -> Option<String> {
    let latest = cell.with(|state| state.meta.latest_seq);
    reply::of(run, &cell.history(), latest).chosen.map(|chosen| chosen.text)
}

fn told(entry: &Entry, open: &Open, answer: &Value) -> Value {
    let mut told = json!({
        "id": format!("{}:{}", entry.run_id, open.key),
        "runId": entry.run_id,
        "sessionId": entry.session_id,
        "createdAt": entry.created_at,
        "taken": open.taken,
        "target": open.target,
    });
    if let (Some(told), Some(answer)) = (told.as_object_mut(), answer.as_object()) {
        told.extend(answer.clone());
    }
    told
}
