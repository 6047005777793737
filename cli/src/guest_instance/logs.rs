//! `remotelab guest-instance logs`

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::{guests, known};
use crate::output;
use crate::place::Place;

/// How far back the last lines are looked for, in bytes.
const REACH: u64 = 4 * 1024 * 1024;

/// How often a followed log is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// Print the last lines of a guest's log.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guest.
    name: String,
    /// How many lines.
    #[arg(short = 'n', long, default_value_t = 60, value_name = "COUNT")]
    lines: usize,
    /// Go on with what is written, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let guests = guests(&Place::find()?)?;
    let log = guests.link(&known(&arguments.name)?)?.record.log_path;
    let mut file = match File::open(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && arguments.follow => None,
        outcome => Some(outcome.with_context(|| format!("cannot read {}", log.display()))?),
    };
    if let Some(file) = &mut file {
        output::text(&last_lines(file, arguments.lines)?)?;
    }
    if arguments.follow { follow(&log, file) } else { Ok(()) }
}

fn last_lines(file: &mut File, count: usize) -> anyhow::Result<String> {
    let start = file.metadata()?.len().saturating_sub(REACH);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(&*file);
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        last.push_back(std::mem::take(&mut line));
        if last.len() > count {
            last.pop_front();
        }
    }
    Ok(String::from_utf8_lossy(&Vec::from(last).concat()).into_owned())
}

/// Prints what is added. A full log is put aside, and the next one goes on.
fn follow(log: &Path, mut file: Option<File>) -> anyhow::Result<()> {
    loop {
        if let Some(file) = &mut file {
            let mut added = Vec::new();
            file.take(REACH).read_to_end(&mut added)?;
            if !added.is_empty() {
                output::text(&String::from_utf8_lossy(&added))?;
                continue;
            }
        }
        let inode = |data: fs::Metadata| data.ino();
        let followed = file.as_ref().and_then(|file| file.metadata().ok()).map(inode);
        if fs::metadata(log).ok().map(inode).is_some_and(|now| Some(now) != followed) {
            file = File::open(log).ok();
        } else {
            thread::sleep(PAUSE);
        }
    }
}
