//! What an inbound row holds.

use rusqlite::Row as SqlRow;
use serde::{Deserialize, Serialize};

use crate::automated::Class;
use crate::ingest::Door;
use crate::state::Inbound;
use crate::trust::{Verdict, Word};

/// A message to store.
#[derive(Clone, Debug)]
pub(crate) struct NewItem {
    /// Instance name; empty for the owner.
    pub(crate) instance: String,
    pub(crate) rcpt: String,
    pub(crate) mail_from: Option<String>,
    pub(crate) door: Door,
    /// Where it came from, for people.
    pub(crate) source: String,
}

/// What storing a message led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) duplicate: bool,
}

/// What was read off a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Facts {
    /// The verified-by-grammar sender as written, empty when nobody can be named.
    pub(crate) from: String,
    pub(crate) reply_to: String,
    pub(crate) subject: String,
    pub(crate) date: String,
    pub(crate) in_reply_to: Vec<String>,
    pub(crate) references: Vec<String>,
    pub(crate) class: Option<Class>,
    /// Hops between installations so far.
    pub(crate) hops: u32,
    /// What proves the sender; absent when nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Verdict>,
    /// The allow-list entry that let the sender in: `email`, `domain`, `subdomain` or empty.
    pub(crate) rule: String,
    /// It named a conversation its sender has no part in.
    pub(crate) claim_rejected: bool,
    /// Another mail with this Message-ID and other content came before.
    pub(crate) id_reuse: bool,
}

impl Facts {
    /// What is known of the sender.
    pub(crate) fn word(&self) -> Word {
        self.auth.as_ref().map_or(Word::None, |auth| auth.verdict)
    }
}

/// The fate of a mail that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) state: Inbound,
    pub(crate) reason: String,
    pub(crate) facts: Facts,
    pub(crate) reviewer: Option<String>,
}

/// One inbound row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) rcpt: String,
    pub(crate) mail_from: Option<String>,
    pub(crate) message_id: String,
    pub(crate) sha256: String,
    pub(crate) size: i64,
    /// The word of the door it came through.
    pub(crate) door: String,
    pub(crate) source: String,
    pub(crate) received_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) state: Inbound,
    pub(crate) reason: String,
    pub(crate) facts: Facts,
    pub(crate) thread_id: Option<i64>,
    pub(crate) reviewer: Option<String>,
    /// How often a person has had it run again after a failed run.
    pub(crate) round: u32,
    pub(crate) attempts: u32,
    pub(crate) due_at: i64,
    pub(crate) last_error: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) submitted_at: Option<i64>,
    /// The letter that answered it, or told of its failure.
    pub(crate) answered_by: Option<String>,
}

/// Where a mail went.
#[derive(Clone, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) run_id: Option<&'a str>,
    /// [`Inbound::Submitted`], or [`Inbound::NoReply`] when no answer is wanted.
    pub(crate) state: Inbound,
}

/// Which rows a listing shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter<'a> {
    All,
    Queue(&'a str),
}

pub(super) const COLUMNS: &str = "id, instance, rcpt, mail_from, message_id, sha256, size, door, source, received_at, \
    updated_at, state, reason, facts, thread_id, reviewer, round, attempts, due_at, last_error, session_id, \
    run_id, submitted_at, answered_by";

pub(super) fn from_row(row: &SqlRow<'_>) -> rusqlite::Result<Item> {
    let state: String = row.get("state")?;
    let facts: String = row.get("facts")?;
    Ok(Item {
        id: row.get("id")?,
        instance: row.get("instance")?,
        rcpt: row.get("rcpt")?,
        mail_from: row.get("mail_from")?,
        message_id: row.get("message_id")?,
        sha256: row.get("sha256")?,
        size: row.get("size")?,
        door: row.get("door")?,
        source: row.get("source")?,
        received_at: row.get("received_at")?,
        updated_at: row.get("updated_at")?,
        // A row that another version wrote or that is damaged waits for a person.
        state: Inbound::parse(&state).unwrap_or(Inbound::ParseFailed),
        reason: row.get("reason")?,
        facts: serde_json::from_str(&facts).unwrap_or_default(),
        thread_id: row.get("thread_id")?,
        reviewer: row.get("reviewer")?,
        round: row.get("round")?,
        attempts: row.get("attempts")?,
        due_at: row.get("due_at")?,
        last_error: row.get("last_error")?,
        session_id: row.get("session_id")?,
        run_id: row.get("run_id")?,
        submitted_at: row.get("submitted_at")?,
        answered_by: row.get("answered_by")?,
    })
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
