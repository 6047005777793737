//! Parts of the page that the scripts read again.

use askama::Template;

use super::icons;
use super::view::{Composer, QueueItem, RowState, SessionList, SessionPage, Step, Steps, Timeline};
use super::words::Words;

/// Draws the list, for `ui/sessions`.
#[must_use]
pub fn session_list(list: &SessionList) -> String {
    drawn(&List { list })
}

/// Draws the open session, for `ui/sessions/{id}`.
#[must_use]
pub fn session_view(page: &SessionPage) -> String {
    drawn(&Session { page })
}

/// Draws the page of a new task, for `ui/new`.
#[must_use]
pub fn new_task(composer: &Composer) -> String {
    drawn(&Home { composer })
}

/// Draws earlier entries, for `ui/sessions/{id}/timeline?before=`.
#[must_use]
pub fn timeline(timeline: &Timeline) -> String {
    drawn(&Entries { timeline })
}

/// Draws the steps of a folded block, for `ui/sessions/{id}/blocks/{a}-{b}`.
#[must_use]
pub fn block(steps: &Steps) -> String {
    drawn(&Block { steps })
}

/// Draws the messages that wait.
#[must_use]
pub fn queue(queue: &[QueueItem], language: super::Language) -> String {
    drawn(&Queue { queue, words: language.words() })
}

fn drawn(template: &impl Template) -> String {
    template.render().expect("writing to a string cannot fail")
}

#[derive(Template)]
#[template(path = "parts/list.html")]
struct List<'a> {
    list: &'a SessionList,
}

#[derive(Template)]
#[template(path = "parts/session.html")]
struct Session<'a> {
    page: &'a SessionPage,
}

#[derive(Template)]
#[template(path = "parts/home.html")]
struct Home<'a> {
    composer: &'a Composer,
}

#[derive(Template)]
#[template(path = "parts/timeline.html")]
struct Entries<'a> {
    timeline: &'a Timeline,
}

#[derive(Template)]
#[template(path = "parts/steps.html")]
struct Block<'a> {
    steps: &'a Steps,
}

#[derive(Template)]
#[template(path = "parts/queue.html")]
struct Queue<'a> {
    queue: &'a [QueueItem],
    words: &'static Words,
}
