//! Finding logs and reading their lines, within limits.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// How deep folders are looked into.
const DEPTH: usize = 8;
/// A longer line is a picture or a file, and no figure. Bytes.
const LINE_MAX: u64 = 4 << 20;

/// Lists the logs below a folder in path order. Links are not followed.
pub(super) fn logs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, DEPTH, &mut found);
    found.sort();
    found
}

/// Reads a log line by line; lines that are no JSON are left out.
pub(super) fn lines(path: &Path) -> io::Result<impl Iterator<Item = Value>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    Ok(std::iter::from_fn(move || {
        loop {
            line.clear();
            let length = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).ok()?;
            if length == 0 {
                return None;
            }
            if line.last() != Some(&b'\n') && length as u64 == LINE_MAX {
                skip_line(&mut reader).ok()?;
                continue;
            }
            if let Ok(value) = serde_json::from_slice(&line) {
                return Some(value);
            }
        }
    }))
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let (used, is_over) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if is_over {
            return Ok(());
        }
    }
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 1 {
            collect(&path, depth - 1, found);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "jsonl") {
            found.push(path);
        }
    }
}
