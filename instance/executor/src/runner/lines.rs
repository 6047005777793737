//! Cuts a stream of bytes into lines with bounded memory.

use std::io;
use std::path::{Path, PathBuf};

use crate::spool::{Artifact, LINE_MAX, Stream, Writer};

/// The unfinished line of one stream.
pub(super) struct Lines {
    run_dir: PathBuf,
    stream: Stream,
    partial: Vec<u8>,
    /// Set while the line is longer than a record may be.
    artifact: Option<Artifact>,
}

impl Lines {
    pub(super) fn new(run_dir: &Path, stream: Stream) -> Self {
        Self { run_dir: run_dir.to_owned(), stream, partial: Vec::new(), artifact: None }
    }

    /// Takes the next bytes and spools the lines that they complete. `seen` gets each of them.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        spool: &mut Writer,
        seen: &mut dyn FnMut(&str),
    ) -> io::Result<()> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend(&bytes[..end])?;
            self.complete(spool, seen)?;
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes)?;
        spool.flush()
    }

    /// Spools a last line that had no end.
    pub(super) fn end(&mut self, spool: &mut Writer, seen: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.complete(spool, seen)?;
        spool.flush()
    }

    fn extend(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.artifact.is_none() && self.partial.len() + piece.len() > LINE_MAX {
            let mut artifact = Artifact::create(&self.run_dir)?;
            artifact.write(&self.partial)?;
            self.partial = Vec::new();
            self.artifact = Some(artifact);
        }
        match &mut self.artifact {
            Some(artifact) => artifact.write(piece),
            None => {
                self.partial.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn complete(&mut self, spool: &mut Writer, seen: &mut dyn FnMut(&str)) -> io::Result<()> {
        if let Some(artifact) = self.artifact.take() {
            return spool.push_artifact(self.stream, artifact);
        }
        let line = String::from_utf8_lossy(&self.partial);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if !line.trim().is_empty() {
            seen(line);
            spool.push(self.stream, line);
        }
        self.partial.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpoolReader;
    use proptest::prelude::*;

    fn spooled(chunks: &[&[u8]]) -> Vec<String> {
        let run = tempfile::tempdir().unwrap();
        let mut spool = Writer::create(run.path()).unwrap();
        let mut lines = Lines::new(run.path(), Stream::Stdout);
        for chunk in chunks {
            lines.feed(chunk, &mut spool, &mut |_| {}).unwrap();
        }
        lines.end(&mut spool, &mut |_| {}).unwrap();
        let records = SpoolReader::open(run.path(), 0).read_new(64 << 20).unwrap();
        records.into_iter().map(|record| record.line).collect()
    }

    #[test]
    fn odd_lines_arrive() {
        let long = vec![b'x'; LINE_MAX + 5];
        let mut bytes = b"one\r\n\n  \ntw\xffo\n".to_vec();
        bytes.extend(&long);
        bytes.extend(b"\nlast without end");
        let lines = spooled(&bytes.chunks(70_000).collect::<Vec<_>>());
        let expected = ["one", "tw\u{fffd}o", std::str::from_utf8(&long).unwrap(), "last without end"];
        assert!(lines == expected, "{:?}", lines.iter().map(String::len).collect::<Vec<_>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn where_the_chunks_are_cut_does_not_matter(text in "[a-zä\n\r ]{0,300}", size in 1_usize..40) {
            let whole = spooled(&[text.as_bytes()]);
            let pieces = spooled(&text.as_bytes().chunks(size).collect::<Vec<_>>());
            prop_assert_eq!(pieces, whole);
        }
    }
}
