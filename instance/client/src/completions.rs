//! Answers that wait in an instance to be carried elsewhere, and what became of them.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_protocol::{Attachment, RunState};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, Instance};

/// A page of answers, which can be long (bytes).
const PAGE_MAX: usize = 48 << 20;

/// A page of answers that wait.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Completions {
    /// The answers.
    pub completions: Vec<Completion>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// An answer for a target that a connector named.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// Its id; whoever carries the answer knows a repeated one by it.
    pub id: String,
    /// How the run ended.
    pub state: RunState,
    /// Why it failed.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// What was said to a person.
    #[serde(default)]
    pub reply: Option<String>,
    /// The files that it offers.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Whether somebody has it in hand.
    #[serde(default)]
    pub taken: bool,
    /// Where it goes.
    pub target: MailTarget,
}

/// A target that is a mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MailTarget {
    /// To whom.
    pub to: String,
    /// From which address; empty for the instance's usual one.
    pub from: String,
    /// The subject.
    pub subject: String,
    /// The id of the mail that is answered.
    pub in_reply_to: String,
    /// The ids of its conversation.
    pub references: String,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// It is written down and on its way.
    Sending,
    /// It was taken, and by whom.
    Sent(Value),
    /// It will not be carried.
    Failed(String),
}

impl Instance {
    /// Reads the mails that wait to be sent. An instance without any holds its answer back for `wait`. With `again`
    /// also those that somebody has in hand.
    ///
    /// # Errors
    /// Any [`Error`]; an instance of an older version answers 404.
    pub async fn completions(
        &self,
        wait: Duration,
        again: bool,
        cursor: Option<&str>,
    ) -> Result<Completions, Error> {
        let wait_seconds = wait.as_secs().to_string();
        let mut query = vec![("type", "email"), ("wait", &wait_seconds)];
        query.extend(again.then_some(("again", "1")));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let build = || {
            let call = self.call(Method::GET, "/api/completions").query(&query);
            Ok(call.timeout(wait + self.timeout))
        };
        self.answer("read the answers that wait", build, PAGE_MAX).await
    }

    /// Tells what became of an answer. Safe to repeat.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn settle_completion(&self, id: &str, carried: &Carried) -> Result<(), Error> {
        let path = format!("/api/completions/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let body = match carried {
            Carried::Sending => json!({"state": "sending"}),
            Carried::Sent(delivery) => json!({"state": "sent", "delivery": delivery}),
            Carried::Failed(reason) => json!({"state": "failed", "lastError": reason}),
        };
        self.request(Method::POST, &path, Some(&body)).await.map(drop)
    }
}
