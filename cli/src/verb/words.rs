//! Text that comes as an argument, from a file or from standard input.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use super::Failure;

/// The most that is read, in bytes.
const MOST: u64 = 256 << 20;

/// Takes a text; `-` is standard input, which must hold something then.
pub(crate) fn given(flag: &str, text: String) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text);
    }
    let mut stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage(format!("{flag} - reads standard input, which is a terminal")));
    }
    let text =
        read(&mut stdin).map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("{flag} - reads standard input, which is empty")));
    }
    Ok(text)
}

/// Reads a text from a file; `-` is standard input.
pub(crate) fn from_file(flag: &str, path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return given(flag, "-".to_owned());
    }
    fs::File::open(path)
        .and_then(|mut file| read(&mut file))
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}

fn read(source: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it is longer than 256 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}
