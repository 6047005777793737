//! Doing what a plan says, and undoing it.

use std::fmt;

use remotelab_config::InstanceName;

use super::journal::Journal;
use super::plan::Verb;
use super::step::Step;
use super::{Error, Tools, audit};

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It was left out, and the operation goes on.
    Skipped(Why),
}

/// Why a step was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is nothing here that runs guests.
    NothingRuns,
    /// It failed, and that is no reason to fail altogether.
    Failed(String),
}

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress<'a> {
    /// A step begins.
    Begun(&'a Step),
    /// A step is done, or was left out; it is written down next.
    Done(&'a Step),
    /// A step was undone.
    Undone(&'a Step),
}

/// Why an operation did not do what was wanted.
#[derive(Debug)]
pub struct Failed {
    verb: Verb,
    guest: InstanceName,
    end: End,
    source: Error,
}

#[derive(Debug)]
enum End {
    /// Nothing is left of it.
    Undone,
    /// Undoing failed too, for these reasons; the next command tries it again.
    HalfUndone(Vec<String>),
    /// There is no way back; the next command goes on.
    Unfinished,
}

/// Does what is left of a plan and returns the steps that were left out, with the reasons. A failure before
/// the commit undoes all.
pub(crate) fn run(
    mut journal: Journal,
    tools: &Tools,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<(Step, Why)>, Failed> {
    let mut skipped = Vec::new();
    while let Some(step) = journal.step().cloned() {
        tell(Progress::Begun(&step));
        let outcome = step.apply(journal.plan(), tools);
        let marked = outcome.and_then(|outcome| {
            if let Outcome::Skipped(why) = outcome {
                skipped.push((step.clone(), why));
            }
            tell(Progress::Done(&step));
            journal.advance()
        });
        if let Err(source) = marked {
            let (verb, guest) = (journal.plan().verb, journal.plan().guest().clone());
            let reason = chain(&source);
            let end = if journal.may_turn_back() {
                match undo(journal, tools, &reason, tell) {
                    Ok(()) => End::Undone,
                    Err(left) => End::HalfUndone(left),
                }
            } else {
                note(&journal, tools, &audit::Result::Unfinished(reason));
                End::Unfinished
            };
            return Err(Failed { verb, guest, end, source });
        }
    }
    note(&journal, tools, &audit::Result::Done);
    journal.close();
    Ok(skipped)
}

/// Undoes all that was begun, for this reason, the last first, and goes on when that fails for one step. Only the
/// first step, which keeps others from the guest, then stays for the next command.
pub(super) fn undo(
    mut journal: Journal,
    tools: &Tools,
    reason: &str,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Vec<String>> {
    // A full disk must not keep anything from being undone; the mark only matters after a failed commit.
    if let Err(error) = journal.turn_back() {
        tracing::warn!(%error, "cannot note that {} is being undone", journal.plan().guest());
    }
    let mut left = Vec::new();
    let mut steps = journal.begun().peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_none() && !left.is_empty() {
            break;
        }
        match step.undo(journal.plan(), tools) {
            Ok(()) => tell(Progress::Undone(step)),
            Err(error) => left.push(chain(&error)),
        }
    }
    drop(steps);
    if left.is_empty() {
        note(&journal, tools, &audit::Result::Undone(reason.to_owned()));
        journal.close();
        return Ok(());
    }
    note(&journal, tools, &audit::Result::Unfinished(left.join("; ")));
    Err(left)
}

fn note(journal: &Journal, tools: &Tools, result: &audit::Result) {
    let plan = journal.plan();
    audit::note(tools.paths, tools.env, plan.verb.infinitive(), plan.guest(), result);
}

impl Failed {
    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        matches!(self.end, End::Undone)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (guest, done) = (&self.guest, self.verb.participle());
        match &self.end {
            End::Undone => write!(f, "{guest} was not {done}"),
            End::HalfUndone(left) => {
                write!(f, "{guest} was not {done}, and the next command must clear up ({})", left.join("; "))
            }
            End::Unfinished => write!(f, "{guest} is not {done} yet; the next command goes on with it"),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
