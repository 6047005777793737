//! What the templates show, made of the protocol's types.

mod files;
mod session;
mod steps;
mod time;
mod timeline;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use files::FileCard;
pub use session::{
    Composer, QueueItem, RowState, SessionHead, SessionList, SessionPage, SessionRow, ToolChoice,
};
pub(crate) use steps::Step;
pub use steps::{Running, Steps};
pub use time::Time;
pub use timeline::{Render, Timeline};

use super::words::{Language, Words};

/// For whom and when something is shown.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The language of the page.
    pub language: Language,
    /// The time of showing.
    pub now: Timestamp,
    /// The zone of clock times until the browser puts its own.
    pub zone: TimeZone,
}

impl Viewer {
    pub(crate) fn words(&self) -> &'static Words {
        self.language.words()
    }
}
