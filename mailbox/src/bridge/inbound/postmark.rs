//! Postmark: JSON with the raw message, when the stream is set to include it; proved by the password in the
//! webhook's address.

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Adapter, Call, Fault, Mail, Opened};
use crate::ingest::Door;

pub(super) struct Postmark;

impl Adapter for Postmark {
    fn door(&self) -> Door {
        Door::Postmark
    }

    fn open<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Opened, Fault>> {
        Box::pin(async move {
            call.has_password()?;
            let body = call.json()?;
            let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
            let raw = text(&body["RawEmail"])
                .ok_or(Fault::Form("no RawEmail: switch on \"Include raw email content in JSON payload\""))?;
            let listed = body["ToFull"].as_array().into_iter().flatten().filter_map(|to| text(&to["Email"]));
            let to = text(&body["OriginalRecipient"]).map_or_else(|| listed.collect(), |to| vec![to]);
            Ok(Opened::Mail(Mail { from: text(&body["FromFull"]["Email"]), to, raw: raw.into_bytes() }))
        })
    }
}
