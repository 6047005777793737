//! Letters of ours: listing them, and deciding about those that are held.

use remotelab_config::InstanceName;
use remotelab_protocol::time::iso_from_ms;
use serde::Serialize;

use super::review::REVIEWER;
use super::tend::allowed;
use super::{Desk, Error};
use crate::places::Place;
use crate::state::{Failure, Outgoing};
use crate::store::Row;

/// One letter in a listing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterSummary {
    /// The letter's id.
    pub id: String,
    /// `reply`, `failure` or `manual`.
    pub kind: String,
    /// Where it stands.
    pub state: Outgoing,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Subject.
    pub subject: String,
    /// The beginning of its text.
    pub text: String,
    /// Guest, or empty for the owner.
    pub target_instance: String,
    /// ISO time.
    pub created_at: String,
    /// Attempts to send it.
    pub attempts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<Failure>,
}

/// How much of a letter's text a listing shows, in characters.
const TEXT: usize = 500;

impl Desk {
    /// Lists the newest letters, at most `limit`, of one state or of all, of one instance or of all.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable store.
    pub fn letters(
        &self,
        state: Option<Outgoing>,
        instance: Option<&InstanceName>,
        limit: usize,
    ) -> Result<Vec<LetterSummary>, Error> {
        let mut letters = Vec::new();
        for (place, store) in self.stores(instance)? {
            let rows = store.letters(state, limit)?.into_iter();
            letters.extend(rows.map(|row| (row.created_at, LetterSummary::of(&place, row))));
        }
        letters.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(letters.into_iter().map(|(_, letter)| letter).take(limit).collect())
    }

    /// Lets a letter go that is held; `None` when there is no letter of this id.
    ///
    /// # Errors
    /// [`Error::NotNow`], or an unusable store.
    pub fn release_letter(&self, id: &str, reviewer: Option<&str>) -> Result<Option<LetterSummary>, Error> {
        self.judge(id, true, reviewer, "released")
    }

    /// Gives a letter up that is held; `None` when there is no letter of this id.
    ///
    /// # Errors
    /// [`Error::NotNow`], or an unusable store.
    pub fn reject_letter(&self, id: &str, reviewer: Option<&str>) -> Result<Option<LetterSummary>, Error> {
        self.judge(id, false, reviewer, "rejected")
    }

    fn judge(
        &self,
        id: &str,
        goes: bool,
        reviewer: Option<&str>,
        verb: &'static str,
    ) -> Result<Option<LetterSummary>, Error> {
        for (place, store) in self.stores(None)? {
            let Some(row) = store.letter(id)? else { continue };
            let now = self.office.clock.now();
            let done = store.judge_letter(id, goes, reviewer.unwrap_or(REVIEWER), now)?;
            allowed(done, id, row.state.as_str(), verb)?;
            let row = store.letter(id)?.unwrap_or(row);
            return Ok(Some(LetterSummary::of(&place, row)));
        }
        Ok(None)
    }
}

impl LetterSummary {
    fn of(place: &Place, row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            state: row.state,
            from: row.letter.from.to_string(),
            to: row.letter.to.iter().map(ToString::to_string).collect(),
            subject: row.letter.subject,
            text: row.letter.text.chars().take(TEXT).collect(),
            target_instance: place.label().to_owned(),
            created_at: iso_from_ms(row.created_at),
            attempts: row.attempts,
            last_error: row.last_error,
        }
    }
}
