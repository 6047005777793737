//! Sending one mail by hand.

use remotelab_config::InstanceName;
use serde::Serialize;

use super::{Desk, Error, address};
use crate::dispatch;
use crate::letter::Letter;
use crate::office::blocking;
use crate::scan;
use crate::state::Outgoing;
use crate::store::NewLetter;
use std::sync::Arc;

/// `mail send`.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Recipients.
    pub to: Vec<String>,
    /// Text.
    pub text: String,
    /// Subject.
    pub subject: String,
    /// Sender; the instance's own address when empty.
    pub from: Option<String>,
    /// Id of the mail being answered.
    pub in_reply_to: Option<String>,
    /// Ids of the conversation.
    pub references: Option<String>,
    /// The instance that sends, `None` being the owner.
    pub instance: Option<InstanceName>,
}

/// What became of a mail sent by hand.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The letter's id.
    pub id: String,
    /// `sent`; `pending` when it is tried again later by the bridge; `dead`; `sent_unconfirmed`.
    pub state: Outgoing,
    /// The provider.
    pub provider: String,
    /// SMTP reply code, 0 without one.
    pub status_code: u16,
    /// Recipients.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// Subject.
    pub subject: String,
    /// Our Message-ID.
    pub message_id: String,
    /// What the relay said.
    pub response_message: String,
}

impl Desk {
    /// Sends one mail: stored first, tried once here, tried again by the bridge when that may help.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Address`] for bad input; what the relay says is in [`Sent`].
    pub async fn send(&self, options: SendOptions) -> Result<Sent, Error> {
        let office = Arc::clone(&self.office);
        let desk = self.clone();
        let (store, settings, letter) = tokio::task::spawn_blocking(move || {
            let identity = desk.must_be_initialised()?;
            let place = desk.place(options.instance.as_ref())?;
            let settings = desk.places().settings(&place)?;
            let usual = match (&place.name, settings.outbound.from.as_str()) {
                (Some(name), _) => identity.guest_address(name),
                (None, "") => identity.owner_address(),
                (None, from) => from.to_owned(),
            };
            let letter = letter(&options, &usual, &identity.name, &identity.domain)?;
            Ok::<_, Error>((office.store(&place)?, settings, letter))
        })
        .await
        .map_err(|_| crate::office::Error::CutOff)??;
        let provider = settings.outbound.provider.clone();
        let (queueing, queued, now) = (Arc::clone(&store), letter.clone(), self.office.clock.now());
        let by = self.office.holder.clone();
        let row = blocking(move || {
            let target = format!("manual:{:032x}", rand::random::<u128>());
            let new = NewLetter { target: &target, kind: "manual", thread_id: None, letter: &queued };
            Ok(queueing.queue_leased(&new, &by, now)?)
        })
        .await?
        .ok_or(crate::office::Error::CutOff)?;
        let id = row.id.clone();
        dispatch::send(&self.office, &store, &settings.outbound, row).await?;
        let reading = (Arc::clone(&store), id.clone());
        let row = blocking(move || Ok(reading.0.letter(&reading.1)?)).await?;
        let row = row.ok_or(Error::NoMail(id))?;
        let response = row.response.unwrap_or_default();
        let (status_code, response_message) = match row.last_error {
            Some(failure) => (failure.code, failure.text),
            None => (response.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0), response),
        };
        Ok(Sent {
            id: row.id,
            state: row.state,
            provider,
            status_code,
            to: letter.to.iter().map(ToString::to_string).collect(),
            from: letter.from.to_string(),
            subject: letter.subject,
            message_id: letter.message_id,
            response_message,
        })
    }
}

fn letter(options: &SendOptions, usual: &str, name: &str, domain: &str) -> Result<Letter, Error> {
    if options.to.is_empty() {
        return Err(Error::Option("the mail needs a recipient".to_owned()));
    }
    if options.text.trim().is_empty() {
        return Err(Error::Option("the mail needs a text".to_owned()));
    }
    let in_reply_to = options.in_reply_to.as_deref().map(|text| {
        scan::message_ids(text)
            .into_iter()
            .next()
            .unwrap_or_else(|| text.trim_matches(['<', '>', ' ']).to_owned())
    });
    if options.subject.trim().is_empty() && in_reply_to.is_none() {
        return Err(Error::Option("the mail needs a subject".to_owned()));
    }
    Ok(Letter {
        from_name: name.to_owned(),
        from: address(options.from.as_deref().unwrap_or(usual))?,
        to: options.to.iter().map(|to| address(to)).collect::<Result<_, _>>()?,
        left: Vec::new(),
        subject: options.subject.clone(),
        text: options.text.clone(),
        references: scan::message_ids(options.references.as_deref().unwrap_or_default()),
        in_reply_to,
        message_id: format!("remotelab-{:032x}@{domain}", rand::random::<u128>()),
        hop: None,
        html: None,
        reply_to: None,
        bounce: None,
        files: Vec::new(),
    })
}
