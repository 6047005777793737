//! Runs of the earlier server: their runners told of themselves in the record of the run and left no mark.

use std::io;
use std::path::Path;

use remotelab_protocol::Run;
use rustix::process::{Signal, kill_process};

use super::settle::{Settled, read_result, settle};
use super::{files, group, processes};
use crate::failure::DISAPPEARED;

/// As [`settle`], also for a run that a runner of the earlier server carries out: it is waited for while one of
/// its processes lives, and never started a second time. Blocks for some file operations.
///
/// # Errors
/// When the run's files cannot be read or written.
pub fn settle_recorded(run_dir: &Path, run: &Run) -> io::Result<Settled> {
    let has_processes = run.runner_process_id.or(run.tool_process_id).is_some();
    if !has_processes || files::has_mark(run_dir) {
        return settle(run_dir, run.cancel_requested);
    }
    if let Some(result) = read_result(run_dir)? {
        return Ok(Settled::Ended(result));
    }
    if is_at_work(run.runner_process_id, run) {
        return Ok(Settled::Alive);
    }
    if is_at_work(run.tool_process_id, run) {
        // There is nobody else to pass the request on.
        if run.cancel_requested
            && let Some(tool) = run.tool_process_id.and_then(group::pid_of)
        {
            let _ = kill_process(tool, Signal::KILL);
        }
        return Ok(Settled::Alive);
    }
    // The runner may have finished between the two questions.
    if let Some(result) = read_result(run_dir)? {
        return Ok(Settled::Ended(result));
    }
    let result = files::failed(DISAPPEARED, run.cancel_requested);
    files::write_result(run_dir, &result)?;
    Ok(Settled::Ended(result))
}

/// Tells whether a process lives and is one of the run's, not one that only has the number.
fn is_at_work(pid: Option<u32>, run: &Run) -> bool {
    pid.is_some_and(|pid| processes::find(pid).is_some() && processes::mentions(pid, run.id.as_str()))
}
