//! Sending through an SMTP relay (RFC 5321), command by command: which step failed decides whether
//! trying again could make a second copy.

use std::error::Error as _;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;

use super::Dispatch;
use crate::address::Address;
use crate::letter::Letter;
use crate::settings::{Outbound, Security};
use crate::state::{Attempt, Failure};

/// One command and its answer (RFC 5321 §4.5.3.2 asks for minutes; a relay of ours is near).
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The text and its answer.
const TEXT_TIMEOUT: Duration = Duration::from_secs(300);

const MAX_FAILURE_CHARS: usize = 300;

pub(super) async fn send(outbound: &Outbound, password: Option<String>, dispatch: &Dispatch<'_>) -> Attempt {
    // Fails only when another part of the process installed one first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bytes = match dispatch.letter.to_bytes(dispatch.unix_seconds, dispatch.files) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Attempt::Permanent(Failure { code: 0, text: error.to_string() });
        }
    };
    // What fails before the envelope is about our settings or the relay, not about this letter: a
    // wrong password must not cost an answer.
    let mut connection = match step(connect(outbound, password)).await {
        Ok(connection) => connection,
        Err(failure) => return Attempt::Transient(failure.failure),
    };
    let refused = match envelope(&mut connection, dispatch.letter, &bytes).await {
        Ok(refused) => refused,
        Err(refused) => {
            connection.abort().await;
            return match refused.is_permanent {
                true => Attempt::Permanent(refused.failure),
                false => Attempt::Transient(refused.failure),
            };
        }
    };
    if !(dispatch.before_text)().await {
        connection.abort().await;
        return Attempt::Transient(Failure { code: 0, text: "the row could not be written".to_owned() });
    }
    let answer = tokio::time::timeout(TEXT_TIMEOUT, connection.message(&bytes)).await;
    let attempt = match answer {
        Ok(Ok(response)) => accepted(&response, refused),
        // The relay read it all and said no: that is known.
        Ok(Err(error)) if error.is_permanent() => Attempt::Permanent(failure(&error)),
        Ok(Err(error)) if error.is_transient() => Attempt::Transient(failure(&error)),
        Ok(Err(error)) => Attempt::Unknown(failure(&error)),
        Err(_) => Attempt::Unknown(timed_out()),
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), connection.quit()).await;
    attempt
}

async fn connect(outbound: &Outbound, password: Option<String>) -> Result<AsyncSmtpConnection, Error> {
    let hello = ClientId::default();
    let address = (outbound.host.as_str(), outbound.effective_port());
    let from_the_start = match outbound.security {
        Security::Tls => Some(tls(outbound).await?),
        Security::None | Security::Starttls => None,
    };
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(address, Some(STEP_TIMEOUT), &hello, from_the_start, None)
            .await?;
    if outbound.security == Security::Starttls {
        connection.starttls(tls(outbound).await?, &hello).await?;
    }
    if let Some(password) = password.filter(|_| !outbound.username.is_empty()) {
        let credentials = Credentials::new(outbound.username.clone(), password);
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
    }
    Ok(connection)
}

/// Whom to believe to be the relay.
async fn tls(outbound: &Outbound) -> Result<TlsParameters, Error> {
    let mut parameters = TlsParameters::builder(outbound.host.clone());
    // One that cannot be read makes nobody trusted, and the connection says why.
    if let Ok(pem) = tokio::fs::read(&outbound.ca_file).await {
        parameters = parameters.add_root_certificate(Certificate::from_pem(&pem)?);
    }
    parameters.build()
}

/// Sends the envelope. Returns the recipients that were refused while others were not.
async fn envelope(
    connection: &mut AsyncSmtpConnection,
    letter: &Letter,
    bytes: &[u8],
) -> Result<Vec<(Address, Refused)>, Refused> {
    // Both parsed when the bytes were written.
    let parse = |address: &Address| address.to_string().parse::<lettre::Address>();
    let mut parameters = Vec::new();
    let mut addresses = letter.recipients().iter().chain([&letter.from]);
    if addresses.any(|address| !address.to_string().is_ascii()) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !bytes.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    step(connection.command(Mail::new(parse(letter.envelope_from()).ok(), parameters))).await?;
    let mut refused = Vec::new();
    let mut is_wanted = false;
    for to in letter.recipients() {
        let Ok(rcpt) = parse(to) else { continue };
        match step(connection.command(Rcpt::new(rcpt, Vec::new()))).await {
            Ok(_) => is_wanted = true,
            // What broke says nothing about the recipient.
            Err(error) if error.failure.code == 0 => return Err(error),
            Err(error) => refused.push((to.clone(), error)),
        }
    }
    if !is_wanted {
        let hopeful = refused.iter().position(|(_, error)| !error.is_permanent).unwrap_or_default();
        let nobody = || Refused {
            is_permanent: true,
            failure: Failure { code: 0, text: "it has no recipient".to_owned() },
        };
        return Err(refused.into_iter().nth(hopeful).map_or_else(nobody, |(_, error)| error));
    }
    step(connection.command(Data)).await?;
    Ok(refused)
}

/// The relay has the letter; some of its recipients may not get it, or not yet.
fn accepted(response: &Response, refused: Vec<(Address, Refused)>) -> Attempt {
    let mut text = last_line(response);
    let mut later = Vec::new();
    for (to, error) in refused {
        if error.is_permanent {
            text = format!("{text}; refused for {to}: {}", error.failure.text);
        } else {
            later.push(to);
        }
    }
    let text = text.chars().take(2 * MAX_FAILURE_CHARS).collect();
    if later.is_empty() { Attempt::Accepted(text) } else { Attempt::Partly(text, later) }
}

/// A step before the text that failed: nothing can have been sent.
struct Refused {
    is_permanent: bool,
    failure: Failure,
}

async fn step<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Refused> {
    match tokio::time::timeout(STEP_TIMEOUT, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Refused { is_permanent: error.is_permanent(), failure: failure(&error) }),
        Err(_) => Err(Refused { is_permanent: false, failure: timed_out() }),
    }
}

fn failure(error: &Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let text = text.chars().filter(|c| !c.is_control()).take(MAX_FAILURE_CHARS).collect();
    Failure { code: error.status().map_or(0, u16::from), text }
}

fn timed_out() -> Failure {
    Failure { code: 0, text: "the relay did not answer in time".to_owned() }
}

fn last_line(response: &Response) -> String {
    let line = response.message().last().unwrap_or_default();
    format!("{} {line}", response.code()).chars().take(MAX_FAILURE_CHARS).collect()
}
