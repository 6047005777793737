//! Whether a mail is from whom it says: the verdict as a value, and how it follows from what was found.
//!
//! The address in `From` is a claim. What proves it is a signature or a path of the domain it names
//! (RFC 7489, RFC 9989): DKIM is checked here on the raw bytes, SPF is heard from a mail server that is
//! named in the settings and seals what it says, and the domain's own policy says how the two must fit.

mod body;
mod check;
mod heard;
mod resolver;

use serde::{Deserialize, Serialize};

pub(crate) use check::{Question, check};
pub(crate) use resolver::Resolver;

/// What is known of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Proved, as the policy of its domain wants it.
    Pass,
    /// Proved; its domain has no policy.
    AlignedNoPolicy,
    /// Neither proved nor disproved.
    #[default]
    None,
    /// The domain says it is not theirs.
    Fail,
    /// The name servers did not answer.
    TempError,
}

/// A verdict with what it rests on, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Verdict {
    /// What follows.
    pub verdict: Word,
    /// What was heard of SPF: `pass`, `fail` and so on, `unknown` when nobody trusted said.
    pub spf: String,
    /// The signatures.
    pub dkim: Vec<Signature>,
    /// What the domain's policy comes to: `pass`, `fail`, `temperror`, or `none` without a policy.
    pub dmarc: String,
    /// The chain of seals: `pass`, `fail`, `none`.
    pub arc: String,
    /// Whose words were heard beside our own look: empty, or the name of a mail server.
    pub source: String,
}

/// A DKIM signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Signature {
    /// Who signed.
    pub domain: String,
    /// With which key.
    pub selector: String,
    /// `pass`, `neutral`, `fail`, `permerror` or `temperror`.
    pub result: String,
}

impl Word {
    /// Returns the word of listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::AlignedNoPolicy => "aligned_no_policy",
            Self::None => "none",
            Self::Fail => "fail",
            Self::TempError => "temperror",
        }
    }

    /// Tells whether the sender is proved.
    #[must_use]
    pub fn is_proof(self) -> bool {
        matches!(self, Self::Pass | Self::AlignedNoPolicy)
    }
}

/// How one way of proving the sender's domain came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It proves it.
    Given,
    /// It might, if name servers answered.
    Unclear,
    Missing,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// Whether the domain has a policy.
    policy: bool,
    dkim: Proof,
    spf: Proof,
    /// Whether somebody trusted saw the path that the mail took; without, the domain's policy can only
    /// be found kept, not broken.
    path_known: bool,
}

/// Draws the conclusion.
fn judge(evidence: Evidence) -> Word {
    let proofs = [evidence.dkim, evidence.spf];
    if proofs.contains(&Proof::Given) {
        return if evidence.policy { Word::Pass } else { Word::AlignedNoPolicy };
    }
    if proofs.contains(&Proof::Unclear) {
        return Word::TempError;
    }
    if evidence.policy && evidence.path_known { Word::Fail } else { Word::None }
}

/// Tells whether a domain may speak for an author's domain that has no policy: it is the same, or one
/// that the author's stands below. A public suffix signs nothing.
fn speaks_for(domain: &str, author: &str) -> bool {
    let (domain, author) = (domain.trim_end_matches('.').to_lowercase(), author.to_lowercase());
    let is_parent = || author.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'));
    domain.contains('.') && (domain == author || is_parent())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_proof() -> impl Strategy<Value = Proof> {
        prop_oneof![Just(Proof::Given), Just(Proof::Unclear), Just(Proof::Missing)]
    }

    #[test]
    fn a_domain_speaks_for_itself_and_what_is_below_it() {
        for (domain, author, expected) in [
            ("example.com", "Example.com", true),
            ("example.com", "mail.example.com", true),
            ("mail.example.com", "example.com", false),
            ("ample.com", "example.com", false),
            ("com", "example.com", false),
            ("evil.test", "example.com", false),
        ] {
            assert_eq!(speaks_for(domain, author), expected, "{domain} for {author}");
        }
    }

    proptest! {
        #[test]
        fn only_a_proof_proves(policy in any::<bool>(), known in any::<bool>(), dkim in any_proof(), spf in any_proof()) {
            let word = judge(Evidence { policy, dkim, spf, path_known: known });
            prop_assert_eq!(word.is_proof(), dkim == Proof::Given || spf == Proof::Given);
            prop_assert!(word != Word::Fail || (policy && known));
            prop_assert!(word != Word::Pass || policy);
        }
    }
}
