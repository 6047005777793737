//! A file that is put aside when it is long or old.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remotelab_config::atomic;

use crate::settings::Log;

/// The file that is written to, `<file>.1` before it, and so on.
#[derive(Debug)]
pub(super) struct File {
    log: Log,
    open: Option<Open>,
    is_failing: bool,
}

#[derive(Debug)]
struct Open {
    file: fs::File,
    len: u64,
    begun: SystemTime,
}

impl File {
    pub(super) fn new(log: Log) -> Self {
        Self { log, open: None, is_failing: false }
    }

    /// Writes whole lines. What cannot be written is lost: requests go on without their log.
    pub(super) fn append(&mut self, lines: &str) {
        let outcome = self.try_append(lines);
        match &outcome {
            Err(error) if !self.is_failing => tracing::error!(%error, "requests cannot be logged"),
            Ok(()) if self.is_failing => tracing::info!("requests are logged again"),
            _ => {}
        }
        self.is_failing = outcome.is_err();
        if self.is_failing {
            self.open = None;
        }
    }

    fn try_append(&mut self, lines: &str) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.log.file)?,
        };
        let is_old = open.begun.elapsed().is_ok_and(|age| age >= self.log.max_age);
        if open.len > 0 && (is_old || open.len + lines.len() as u64 > self.log.max_bytes) {
            drop(open);
            self.put_aside()?;
            open = Open::at(&self.log.file)?;
        }
        open.file.write_all(lines.as_bytes())?;
        open.len += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    fn put_aside(&self) -> io::Result<()> {
        let path = &self.log.file;
        if self.log.keep == 0 {
            return fs::remove_file(path);
        }
        for number in (1..self.log.keep).rev() {
            match fs::rename(aside(path, number), aside(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(path, aside(path, 1))
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            atomic::create_private_dir(folder).map_err(|error| error.source)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let begun = metadata.created().or_else(|_| metadata.modified())?;
        Ok(Self { file, len: metadata.len(), begun })
    }
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn long_and_old_files_are_put_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/access.jsonl");
        let log = Log { max_bytes: 10, keep: 2, ..Log::new(path.clone(), false) };
        let mut file = File::new(log.clone());
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is too long\n", "six\n"] {
            file.append(line);
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(&path), "six\n");
        assert_eq!(read(&aside(&path, 1)), "a line that is too long\n");
        assert_eq!(read(&aside(&path, 2)), "three\nfour\n".split_at(6).1);
        assert!(!aside(&path, 3).exists());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut old = File::new(Log { max_age: Duration::ZERO, keep: 0, ..log });
        old.append("x\n");
        assert_eq!(read(&path), "x\n");
        assert_eq!(read(&aside(&path, 1)), "a line that is too long\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.jsonl");
        fs::create_dir(&path).unwrap();
        let mut file = File::new(Log::new(path.clone(), false));
        file.append("lost\n");
        fs::remove_dir(&path).unwrap();
        file.append("kept\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
