//! Amazon SES by way of SNS: the message inside a note inside JSON; proved by the password in the
//! subscription's address and by the topic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Adapter, Call, Fault, Mail, Opened};
use crate::ingest::Door;
use crate::outbound::client;

pub(super) struct Ses;

impl Adapter for Ses {
    fn door(&self) -> Door {
        Door::Ses
    }

    fn open<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Opened, Fault>> {
        Box::pin(async move {
            call.has_password()?;
            let note = call.json()?;
            if call.secrets.topic.is_empty() || note["TopicArn"] != call.secrets.topic.as_str() {
                return Err(Fault::Unproved);
            }
            match note["Type"].as_str() {
                Some("SubscriptionConfirmation") => confirm(&note).await,
                Some("Notification") => mail(&note),
                _ => Ok(Opened::Nothing),
            }
        })
    }
}

/// Says yes to a subscription of our topic.
async fn confirm(note: &Value) -> Result<Opened, Fault> {
    let address = note["SubscribeURL"].as_str().filter(|address| is_of_sns(address));
    let address = address.ok_or(Fault::Form("a SubscribeURL of SNS is expected"))?;
    let client =
        client(address).map_err(|_| Fault::Unfetched("no HTTP client can be made here".to_owned()))?;
    let answer = client.get(address).send().await.and_then(reqwest::Response::error_for_status);
    answer.map_err(|error| Fault::Unfetched(error.without_url().to_string()))?;
    Ok(Opened::Nothing)
}

fn is_of_sns(address: &str) -> bool {
    let host = address.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    host.starts_with("sns.") && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

fn mail(note: &Value) -> Result<Opened, Fault> {
    let message = note["Message"].as_str().unwrap_or_default();
    let message: Value = serde_json::from_str(message).map_err(|_| Fault::Form("the Message is no JSON"))?;
    if message["notificationType"] != "Received" {
        return Ok(Opened::Nothing);
    }
    let content = message["content"].as_str().ok_or(Fault::Form(
        "no content: let the receipt rule publish to SNS itself; mail that is kept in S3 is not fetched",
    ))?;
    let raw = match message["receipt"]["action"]["encoding"].as_str() {
        Some("BASE64") => STANDARD.decode(content).map_err(|_| Fault::Form("the content is no base64"))?,
        _ => content.as_bytes().to_vec(),
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let to = message["receipt"]["recipients"].as_array().into_iter().flatten().filter_map(text).collect();
    Ok(Opened::Mail(Mail { from: text(&message["mail"]["source"]), to, raw }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_at_sns_alone() {
        assert!(is_of_sns("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"));
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/",
            "https://sns.evil.test/",
            "https://sns.x.amazonaws.com.evil.test/",
            "https://evil.test/sns.amazonaws.com",
        ] {
            assert!(!is_of_sns(bad), "{bad}");
        }
    }
}
