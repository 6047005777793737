//! Looking at a mail's signatures and its domain's policy.

use std::io::{self, Read};
use std::time::Duration;

use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::dkim::Canonicalization;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult};
use mail_auth::{SpfOutput, SpfResult};

use super::heard::{self, Heard};
use super::{Evidence, Proof, Resolver, Signature, Verdict, Word, body, judge, speaks_for};
use crate::address::Address;
use crate::scan::{self, Field};
use crate::settings::Seal;

/// All questions about one mail together.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Signatures that are looked at; a mail has one or two.
const MAX_SIGNATURES: usize = 10;

type BodyHash = (Canonicalization, HashAlgorithm, u64, Vec<u8>);

/// A mail whose sender is to be proved.
pub(crate) struct Question {
    header: Vec<u8>,
    hashes: Vec<BodyHash>,
    sender: Address,
    fields: Vec<Field>,
    /// The edge whose sealed word counts.
    seal: Option<Seal>,
    /// The mail server of this machine whose word counts; empty: none.
    relay: String,
}

impl Question {
    /// Reads what the signatures are about. `mail` is the raw mail. Blocks.
    pub(crate) fn read(
        mut mail: impl Read,
        sender: &Address,
        seal: Option<Seal>,
        relay: &str,
    ) -> io::Result<Self> {
        let mut front = Vec::new();
        let limit = u64::try_from(scan::MAX_HEADER).unwrap_or(u64::MAX);
        mail.by_ref().take(limit).read_to_end(&mut front)?;
        let header = scan::header_block(&front).to_vec();
        let mut hashes = Vec::new();
        if let Some(mut message) = parse(&header, sender) {
            body::digest(&mut message, front[header.len()..].chain(mail))?;
            hashes = std::mem::take(&mut message.body_hashes);
        }
        let fields = scan::fields(&header);
        Ok(Self { header, hashes, sender: sender.clone(), fields, seal, relay: relay.to_owned() })
    }
}

/// Answers a question. Without name servers nothing can be said now.
pub(crate) async fn check(resolver: Option<&Resolver>, question: &Question) -> Verdict {
    let silent = || Verdict { verdict: Word::TempError, dmarc: "temperror".to_owned(), ..unknown() };
    let Some(resolver) = resolver else { return silent() };
    tokio::time::timeout(TIMEOUT, look(resolver, question)).await.unwrap_or_else(|_| silent())
}

fn unknown() -> Verdict {
    Verdict {
        spf: "unknown".to_owned(),
        dmarc: "none".to_owned(),
        arc: "none".to_owned(),
        ..Verdict::default()
    }
}

async fn look(Resolver(resolver): &Resolver, question: &Question) -> Verdict {
    let Some(mut message) = parse(&question.header, &question.sender) else { return unknown() };
    message.body_hashes.clone_from(&question.hashes);
    let dkim = resolver.verify_dkim(&message).await;
    let arc = resolver.verify_arc(&message).await;
    let heard = hear(question, &arc);
    let spf = spf(heard.as_ref());
    let mail_from = heard.as_ref().map_or("", |heard| heard.domain.as_str());
    let dmarc = resolver.verify_dmarc(DmarcParameters::new(&message, &dkim, mail_from, &spf)).await;
    let evidence = weigh(question.sender.domain(), &dkim, &dmarc, &spf, mail_from, heard.is_some());
    Verdict {
        verdict: judge(evidence),
        spf: heard.as_ref().map_or_else(|| "unknown".to_owned(), |heard| heard.spf.clone()),
        dkim: dkim.iter().filter_map(signature).collect(),
        dmarc: policy(&dmarc, evidence),
        arc: word(arc.result()).to_owned(),
        source: heard.map(|heard| heard.authserv).unwrap_or_default(),
    }
}

/// Reads a header as signatures need it. `None` when it names another author than the one that was
/// found before: two readers that disagree on that are what a forger hopes for.
fn parse<'a>(header: &'a [u8], sender: &Address) -> Option<AuthenticatedMessage<'a>> {
    let mut message = AuthenticatedMessage::parse(header)?;
    let [author] = message.froms() else { return None };
    if author.to_lowercase() != sender.key() || message.body_offset() != header.len() {
        return None;
    }
    // RFC 8301 §3.1; RFC 6376 §5.4.
    let is_sound = |a: Algorithm, h: &[String]| {
        a != Algorithm::RsaSha1 && h.iter().any(|name| name.eq_ignore_ascii_case("from"))
    };
    message.dkim_headers.retain(|field| is_sound(field.header.a, &field.header.h));
    message.dkim_headers.truncate(MAX_SIGNATURES);
    Some(message)
}

/// Finds somebody trusted who saw the path of the mail.
fn hear(question: &Question, arc: &ArcOutput<'_>) -> Option<Heard> {
    if !question.relay.is_empty() {
        return heard::relayed(&question.fields, &question.relay);
    }
    let edge = question.seal.as_ref()?;
    let last = arc.sets().last().filter(|_| *arc.result() == DkimResult::Pass)?;
    let is_theirs = |domain: &str| edge.domains.iter().any(|own| own.eq_ignore_ascii_case(domain));
    let is_sealed = is_theirs(&last.seal.header.d) && is_theirs(&last.signature.header.d);
    is_sealed.then(|| heard::sealed(&question.fields, edge, arc.sets().len()))?
}

fn spf(heard: Option<&Heard>) -> SpfOutput {
    let result = match heard.map(|heard| heard.spf.as_str()) {
        Some("pass") => SpfResult::Pass,
        Some("temperror") => SpfResult::TempError,
        Some("fail") => SpfResult::Fail,
        Some("softfail") => SpfResult::SoftFail,
        _ => SpfResult::None,
    };
    SpfOutput::new(heard.map(|heard| heard.domain.clone()).unwrap_or_default()).with_result(result)
}

fn weigh(
    author: &str,
    dkim: &[DkimOutput<'_>],
    dmarc: &DmarcOutput,
    spf: &SpfOutput,
    mail_from: &str,
    path_known: bool,
) -> Evidence {
    if dmarc.dmarc_record().is_some() {
        return Evidence {
            policy: true,
            dkim: proof(dmarc.dkim_result()),
            spf: proof(dmarc.spf_result()),
            path_known,
        };
    }
    // Whether there is a policy could not be found out.
    if is_trouble(dmarc.dkim_result()) || is_trouble(dmarc.spf_result()) {
        return Evidence { policy: true, dkim: Proof::Unclear, spf: Proof::Unclear, path_known };
    }
    let of_author = |output: &&DkimOutput<'_>| {
        output.signature().is_some_and(|signature| speaks_for(&signature.d, author))
    };
    let signatures = dkim.iter().filter(of_author).map(DkimOutput::result);
    let mut best = Proof::Missing;
    for result in signatures {
        match result {
            DkimResult::Pass => best = Proof::Given,
            DkimResult::TempError(_) if best == Proof::Missing => best = Proof::Unclear,
            _ => {}
        }
    }
    let spf = match spf.result() {
        SpfResult::Pass if speaks_for(mail_from, author) => Proof::Given,
        SpfResult::TempError if speaks_for(mail_from, author) => Proof::Unclear,
        _ => Proof::Missing,
    };
    Evidence { policy: false, dkim: best, spf, path_known }
}

fn is_trouble(result: &DmarcResult) -> bool {
    matches!(result, DmarcResult::TempError(_))
}

fn proof(result: &DmarcResult) -> Proof {
    match result {
        DmarcResult::Pass => Proof::Given,
        DmarcResult::TempError(_) => Proof::Unclear,
        _ => Proof::Missing,
    }
}

fn policy(dmarc: &DmarcOutput, evidence: Evidence) -> String {
    let word = match judge(evidence) {
        Word::TempError => "temperror",
        _ if dmarc.dmarc_record().is_none() => "none",
        word if word.is_proof() => "pass",
        _ => "fail",
    };
    word.to_owned()
}

fn signature(output: &DkimOutput<'_>) -> Option<Signature> {
    let signature = output.signature()?;
    Some(Signature {
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        result: word(output.result()).to_owned(),
    })
}

fn word(result: &DkimResult) -> &'static str {
    match result {
        DkimResult::Pass => "pass",
        DkimResult::Neutral(_) => "neutral",
        DkimResult::Fail(_) => "fail",
        DkimResult::PermError(_) => "permerror",
        DkimResult::TempError(_) => "temperror",
        DkimResult::None => "none",
    }
}
