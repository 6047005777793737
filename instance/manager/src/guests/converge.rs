//! Bringing guests to this program without changing what people see: one first, then several at once, and back
//! to what it was with each that does not come up.

mod drift;
mod kept;
mod report;
mod rollout;
mod target;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use jiff::Timestamp;
use remotelab_config::InstanceName;
use remotelab_config::lock::{self, FileLock};
use serde_json::Value;

use super::{Error, Guests, pattern};
use crate::backup;
use crate::control::{Child, State};
use crate::definition::{self, Definition};
use crate::operation::{self, Plan, Step, Verb};
use crate::outside::Outside;
use drift::Here;
use kept::Kept;
use rollout::Rollout;
use target::Target;

pub use drift::Drift;
pub use report::{Converged, Convergence, Status};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A name or a pattern; all of them without it.
    pub which: Option<String>,
    /// The program that they are to run.
    pub program: PathBuf,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Write definitions, and leave what runs alone.
    pub no_restart: bool,
    /// When so many did not come up, nobody else is touched.
    pub failures: usize,
}

/// What stands between a guest and this program.
struct Task {
    target: Target,
    report: Convergence,
    plan: Option<Plan>,
}

impl Guests {
    /// Converges guests. `tell` hears of each that has ended.
    ///
    /// # Errors
    /// See [`Error`]. A guest that does not come up is no error but a [`Convergence`].
    pub fn converge(
        &self,
        wanted: &Wanted,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(&Convergence),
    ) -> Result<Converged, Error> {
        let _lock = if wanted.dry_run { None } else { Some(self.take_turn()?) };
        if !wanted.dry_run {
            operation::recover(&self.tools(outside), &mut |_| {})?;
        }
        let targets = self.targets(wanted)?;
        let children = outside.service.report().unwrap_or_default();
        let here = self.here(wanted);
        let mut kept = Kept::new(&self.paths);
        let mut tasks = Vec::new();
        for target in targets {
            let child = children.iter().find(|child| child.name == target.record.name.as_str());
            tasks.push(self.task(target, child, wanted, &here, &mut kept)?);
        }
        let reports = if wanted.dry_run {
            tasks.into_iter().map(|task| task.report).collect()
        } else {
            self.roll_out(tasks, wanted.failures, outside, tell)
        };
        kept.tidy(outside.service);
        let others = children.iter().filter(|child| {
            matches!(child.name.as_str(), "owner" | "gateway" | "mail") && differs(child, &here)
        });
        Ok(Converged { reports, old_services: others.map(|child| child.name.clone()).collect() })
    }

    /// Only one command at a time converges.
    fn take_turn(&self) -> Result<FileLock, Error> {
        FileLock::try_acquire(&self.paths.runtime().join("converge.lock")).map_err(|error| match error {
            lock::Error::Held(_) => Error::Converging,
            error => Error::Lock(error),
        })
    }

    fn targets(&self, wanted: &Wanted) -> Result<Vec<Target>, Error> {
        let mut targets = target::find(self)?;
        let Some(which) = &wanted.which else {
            return Ok(targets);
        };
        let name = InstanceName::normalise(which);
        let is_pattern = pattern::is_pattern(which);
        targets.retain(|target| {
            let known = &target.record.name;
            if is_pattern { pattern::fits(which, known.as_str()) } else { name.as_ref() == Some(known) }
        });
        match (targets.is_empty(), name) {
            (false, _) => Ok(targets),
            (true, Some(name)) if !is_pattern => Err(Error::Unknown(name)),
            _ => Err(Error::NoneLike(which.clone())),
        }
    }

    fn here(&self, wanted: &Wanted) -> Here {
        // What the operator sets now is newer than what the owner's agent was written with.
        let mut assets = definition::owner_environment(self.paths.home());
        assets.extend(self.env.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        assets.retain(|key, value| drift::ASSETS.contains(&key.as_str()) && !value.is_empty());
        Here { program: wanted.program.clone(), home: self.paths.home().to_owned(), assets }
    }

    /// Finds out what is to be done with a guest.
    fn task(
        &self,
        target: Target,
        child: Option<&Child>,
        wanted: &Wanted,
        here: &Here,
        kept: &mut Kept,
    ) -> Result<Task, Error> {
        let (refreshed, ..) = operation::refreshment(&target.record, &self.paths, &self.env);
        let mut report = Convergence::of(&target, &refreshed);
        report.dry_run = wanted.dry_run;
        let mut steps = vec![Step::Hold];
        let mut renews = !wanted.no_restart;
        if let Some(found) = &target.definition {
            let next = drift::next(found, here, &target.record.instance_root, &target.record.public_base_url);
            report.set_paths(found, &next);
            report.drift = drift::drift(found, &next, here);
            renews &= report.drift.changed;
            if report.drift.changed {
                if renews {
                    steps.push(Step::Keep { program: found.program().to_owned() });
                }
                steps.push(self.define(&next, wanted, &mut report)?);
            }
        } else {
            report.next_chat_server_path.clone_from(&here.program);
            let runs = child.filter(|child| matches!(child.state, State::Ready | State::Starting));
            if let Some(child) = child {
                report.previous_chat_server_path.clone_from(&child.program);
            }
            report.drift = Drift::of_program(child.is_some_and(|child| differs(child, here)));
            // One that is down takes this program without a way back: what it had did not run either.
            let is_down = child.is_some_and(|child| child.state == State::Failed);
            renews &= report.drift.changed && (runs.is_some() || is_down);
            if let (true, Some(child)) = (renews && !wanted.dry_run, runs) {
                steps.push(Step::Keep { program: kept.of(child)? });
            }
            if runs.is_none() && !is_down {
                report.status = Status::NotRunning;
                report.drift = Drift::default();
            }
        }
        report.changed = report.drift.changed;
        if refreshed.tools_changed || refreshed.selection_changed {
            steps.push(Step::Refresh);
        }
        if renews {
            steps.push(Step::Renew { program: here.program.clone() });
        }
        if report.changed {
            report.status = match (wanted.dry_run, renews) {
                (true, _) => Status::Planned,
                (false, true) => Status::Restarted,
                (false, false) => Status::Updated,
            };
        }
        let commit = steps.len() - usize::from(renews);
        let plan = (steps.len() > 1 && !wanted.dry_run).then(|| Plan {
            verb: Verb::Converge,
            record: target.record.clone(),
            steps,
            commit,
        });
        Ok(Task { target, report, plan })
    }

    fn define(&self, next: &Definition, wanted: &Wanted, report: &mut Convergence) -> Result<Step, Error> {
        let text = next.rewritten().map_err(|error| Error::Definition(next.path.clone(), error))?;
        let backup = backup::place(&next.path, Timestamp::now());
        if !wanted.dry_run {
            report.backup_path.clone_from(&backup);
        }
        Ok(Step::Define { path: next.path.clone(), backup, text })
    }

    /// Does it with all: those that are started anew one after the other at first, then several at once.
    fn roll_out(
        &self,
        mut tasks: Vec<Task>,
        budget: usize,
        outside: Outside<'_>,
        tell: &mut dyn FnMut(&Convergence),
    ) -> Vec<Convergence> {
        let renews = |task: &Task| {
            task.plan.as_ref().is_some_and(|plan| matches!(plan.steps.last(), Some(Step::Renew { .. })))
        };
        // Whoever is in the midst of work is no canary; among the others, the one unused for longest is.
        tasks.sort_by_cached_key(|task| (!renews(task), task.target.is_at_work(), task.target.used_at()));
        let (first, rest): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(renews);
        let mut rollout = Rollout::new(first, budget);
        let mut reports = Vec::new();
        thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            loop {
                while let Some(task) = rollout.take() {
                    let ended = ended.clone();
                    scope.spawn(move || {
                        let report = self.carry_out(task, outside);
                        // The receiver lives until all have ended.
                        let _ = ended.send(report);
                    });
                }
                if !rollout.is_at_work() {
                    break;
                }
                let Ok(report) = ends.recv() else { break };
                rollout.ended(report.is_well());
                tell(&report);
                reports.push(report);
            }
        });
        let spent = reports.iter().any(|report| !report.is_well());
        reports.extend(rollout.left().map(|task| Convergence {
            status: Status::Left,
            restarted: false,
            ..task.report
        }));
        for task in rest {
            // Nothing about them can go wrong in the way that the others have told.
            let left = spent && task.report.changed;
            let report = if left {
                Convergence { status: Status::Left, ..task.report }
            } else {
                self.carry_out(task, outside)
            };
            tell(&report);
            reports.push(report);
        }
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    fn carry_out(&self, task: Task, outside: Outside<'_>) -> Convergence {
        let Task { mut report, plan, .. } = task;
        let Some(plan) = plan else {
            return report;
        };
        let renews = matches!(plan.steps.last(), Some(Step::Renew { .. }));
        let leads_back = plan.steps.iter().any(|step| matches!(step, Step::Keep { .. }));
        let begun = operation::begin(&self.paths, |_| Ok::<_, Error>(plan));
        let outcome =
            begun.and_then(|journal| Ok(operation::run(journal, &self.tools(outside), &mut |_| {})?));
        match outcome {
            Ok(skipped) => {
                let runs = renews && skipped.is_empty();
                report.restarted = runs;
                report.local_reachable = runs;
                if renews && !runs {
                    report.status = Status::Updated;
                    report.error = Some("nothing here could start it anew".to_owned());
                }
            }
            Err(error) => {
                let is_undone = matches!(&error, Error::Failed(failed) if failed.is_undone());
                let is_back = is_undone && leads_back;
                report.status = if is_back { Status::Returned } else { Status::Failed };
                report.local_reachable = is_back;
                report.error = Some(told(&error));
                if is_undone {
                    report.backup_path = PathBuf::new();
                }
            }
        }
        report
    }
}

/// Whether a child runs something else than it is to.
fn differs(child: &Child, here: &Here) -> bool {
    child.pid.is_some() && child.program != here.program
}

/// An error with its causes on one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Converged {
    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        self.reports.iter().map(Convergence::json).collect()
    }
}
