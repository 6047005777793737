//! Reads a spool from any offset, while it grows or long after.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use remotelab_protocol::time;

use super::{Stored, Stream, artifact_path, earlier, spool_path};

/// The longest stored record that is taken for one, in bytes.
const RECORD_MAX: usize = 32 << 20;

/// How much of artefacts is put back into one line, in bytes.
const INLINE_MAX: u64 = 32 << 20;

/// One line of an executor's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was printed, in Unix milliseconds; 0 when a damaged record does not tell.
    pub ts: i64,
    /// Where it came from.
    pub stream: Stream,
    /// The whole line, without its end.
    pub line: String,
    /// Where the next record begins, in bytes of the spool.
    pub end_offset: u64,
}

/// An incremental reader of one run's spool.
#[derive(Clone, Debug)]
pub struct SpoolReader {
    run_dir: PathBuf,
    offset: u64,
}

impl SpoolReader {
    /// Starts at an offset that an earlier record's [`Record::end_offset`] gave, or 0. The spool need not
    /// exist yet.
    #[must_use]
    pub fn open(run_dir: &Path, byte_offset: u64) -> Self {
        Self { run_dir: run_dir.to_owned(), offset: byte_offset }
    }

    /// Returns where the next read begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next complete records, at least one if there is one, until their lines have `max_bytes`,
    /// those that come back from artefacts included: one line more than asked for is the most that is held.
    /// Empty means: nothing new. A last line without its end waits; a damaged record is returned as a
    /// [`Stream::Error`] line of its raw text.
    ///
    /// # Errors
    /// When the spool exists and cannot be read.
    pub fn read_new(&mut self, max_bytes: usize) -> io::Result<Vec<Record>> {
        let bytes = self.complete_lines(max_bytes)?;
        let mut records: Vec<Record> = Vec::new();
        let mut taken = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if taken >= max_bytes && !records.is_empty() {
                break;
            }
            self.offset += line.len() as u64;
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            if !content.is_empty() {
                let record = self.record(content);
                taken += record.line.len();
                records.push(record);
            }
        }
        Ok(records)
    }

    fn complete_lines(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        let mut file = match File::open(spool_path(&self.run_dir)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let mut limit = max_bytes.clamp(4096, RECORD_MAX);
        loop {
            let wanted = limit - bytes.len();
            file.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
            match bytes.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => {
                    bytes.truncate(end + 1);
                    return Ok(bytes);
                }
                None if bytes.len() < limit => return Ok(Vec::new()),
                // No record is that long: hand the damaged stretch on, so that reading never stalls.
                None if limit == RECORD_MAX => return Ok(bytes),
                None => limit = (limit * 2).min(RECORD_MAX),
            }
        }
    }

    fn record(&self, content: &[u8]) -> Record {
        let Ok(stored) = serde_json::from_slice::<Stored>(content) else {
            return Record {
                ts: 0,
                stream: Stream::Error,
                line: String::from_utf8_lossy(content).into_owned(),
                end_offset: self.offset,
            };
        };
        let mut room = INLINE_MAX;
        let whole = stored.line_artifact.as_deref().and_then(|name| self.artifact(name, &mut room));
        let line = whole.unwrap_or(stored.line);
        let line = match stored.json {
            Some(json) => earlier::whole(line, json, |name| self.artifact(name, &mut room)),
            None => line,
        };
        Record {
            ts: time::parse_iso(&stored.ts).map_or(0, jiff::Timestamp::as_millisecond),
            stream: stored.stream,
            line,
            end_offset: self.offset,
        }
    }

    /// Reads a text back in; its preview stands in for one that is gone or for which there is no room.
    fn artifact(&self, name: &str, room: &mut u64) -> Option<String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_plain) {
            return None;
        }
        let file = File::open(artifact_path(&self.run_dir, name)).ok()?;
        let size = file.metadata().ok()?.len();
        *room = room.checked_sub(size)?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::spool::{Artifact, Writer};
    use proptest::prelude::*;

    fn lines(records: &[Record]) -> Vec<(Stream, &str)> {
        records.iter().map(|record| (record.stream, record.line.as_str())).collect()
    }

    #[test]
    fn runtime_weakness_10_a_line_without_its_end_waits() {
        let run = tempfile::tempdir().unwrap();
        let mut reader = SpoolReader::open(run.path(), 0);
        assert_eq!(reader.read_new(1 << 20).unwrap(), []);
        let mut file = File::create(spool_path(run.path())).unwrap();
        let first =
            r#"{"ts":"2026-11-22T07:26:39.536Z","stream":"stdout","line":"{\"a\":1}","json":{"a":1}}"#;
        let second = r#"{"ts":"2026-11-22T07:26:39.594Z","stream":"stderr","line":"fake stderr line"}"#;
        write!(file, "{first}\n{}", &second[..40]).unwrap();
        let read = reader.read_new(1 << 20).unwrap();
        assert_eq!(
            read,
            [Record {
                ts: 1_795_332_399_536,
                stream: Stream::Stdout,
                line: r#"{"a":1}"#.into(),
                end_offset: first.len() as u64 + 1
            }]
        );
        assert_eq!(reader.read_new(1 << 20).unwrap(), []);
        write!(file, "{}\nnot a record\n", &second[40..]).unwrap();
        let read = reader.read_new(1 << 20).unwrap();
        assert_eq!(lines(&read), [(Stream::Stderr, "fake stderr line"), (Stream::Error, "not a record")]);
        let again = SpoolReader::open(run.path(), first.len() as u64 + 1).read_new(1 << 20).unwrap();
        assert_eq!(again, read);
    }

    #[test]
    fn long_lines_come_back_whole() {
        let run = tempfile::tempdir().unwrap();
        let long = "ä".repeat(100_000);
        let mut writer = Writer::create(run.path()).unwrap();
        let mut artifact = Artifact::create(run.path()).unwrap();
        artifact.write(long.as_bytes()).unwrap();
        writer.push_artifact(Stream::Stdout, artifact).unwrap();
        writer.push(Stream::Stdout, "short");
        writer.flush().unwrap();
        let read = SpoolReader::open(run.path(), 0).read_new(1 << 20).unwrap();
        assert_eq!(lines(&read), [(Stream::Stdout, long.as_str()), (Stream::Stdout, "short")]);
        let on_disk = std::fs::metadata(spool_path(run.path())).unwrap().len();
        assert!(on_disk < 10_000, "the spool holds a preview only: {on_disk}");
    }

    /// However small the records of long lines are, few of these are in memory at once.
    #[test]
    fn a_read_ends_when_its_lines_have_the_asked_bytes() {
        let run = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(run.path()).unwrap();
        for digit in ["0", "1", "2", "3", "4"] {
            let mut artifact = Artifact::create(run.path()).unwrap();
            artifact.write(digit.repeat(300_000).as_bytes()).unwrap();
            writer.push_artifact(Stream::Stdout, artifact).unwrap();
        }
        writer.flush().unwrap();
        let mut reader = SpoolReader::open(run.path(), 0);
        let mut reads = Vec::new();
        loop {
            let read = reader.read_new(500_000).unwrap();
            if read.is_empty() {
                break;
            }
            assert_eq!(read.last().unwrap().end_offset, reader.offset());
            reads.push(read.iter().map(|record| record.line[..1].to_owned()).collect::<String>());
        }
        assert_eq!(reads, ["01", "23", "4"]);
    }

    #[test]
    fn an_artefact_name_cannot_lead_out_of_the_run() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("run");
        std::fs::create_dir_all(run.join("artifacts")).unwrap();
        std::fs::write(root.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(
            spool_path(&run),
            "{\"ts\":\"\",\"stream\":\"stdout\",\"line\":\"seen\",\"lineArtifact\":\"../../secret\"}\n",
        )
        .unwrap();
        let read = SpoolReader::open(&run, 0).read_new(1 << 20).unwrap();
        assert_eq!(lines(&read), [(Stream::Stdout, "seen")]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is in the file, every read ends, and small reads return what one big read does.
        #[test]
        fn any_bytes_are_read_the_same_in_pieces(
            piece in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), any::<u8>()], 0..300),
            times in 0_usize..40,
        ) {
            let bytes = piece.repeat(times);
            let run = tempfile::tempdir().unwrap();
            std::fs::write(spool_path(run.path()), &bytes).unwrap();
            let whole = SpoolReader::open(run.path(), 0).read_new(1 << 20).unwrap();
            let mut pieces = Vec::new();
            let mut reader = SpoolReader::open(run.path(), 0);
            loop {
                let before = reader.offset();
                pieces.extend(reader.read_new(1).unwrap());
                if reader.offset() == before { break }
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
