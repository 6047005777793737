//! Which paths a text names.

use std::path::{Path, PathBuf};

use remotelab_config::paths::expand;

/// The longest path that is considered, in bytes.
const LONGEST: usize = 4_096;
/// The most words of one text that are considered.
const MOST: usize = 400;

/// Returns the words of a text that look like paths, in order and each once: those in backticks and in
/// Markdown links, and plain words.
pub(super) fn named(text: &str) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        let word = word.split(':').next().filter(|_| has_line_number(word)).unwrap_or(word);
        if looks_like_path(word) && named.len() < MOST && !named.iter().any(|known| known == word) {
            named.push(word.to_owned());
        }
    };
    for (index, piece) in text.split('`').enumerate() {
        // Between an odd and an even backtick is code, which may be a path with spaces.
        if index % 2 == 1 && !piece.contains('\n') {
            add(piece.trim());
        }
        link_targets(piece, &mut add);
        words(piece).map(bare).for_each(&mut add);
    }
    named
}

/// Returns where a named file may be: the path itself, seen from the folder and with `~` as the home
/// folder.
pub(super) fn resolve(named: &str, folder: &Path, home: &Path) -> PathBuf {
    let named = named.strip_prefix("file://").unwrap_or(named);
    if named.starts_with("~/") { expand(named, home) } else { folder.join(named) }
}

/// Tells whether one of the named paths means a changed file: its name, or some of its folders before it.
pub(super) fn is_named(changed: &Path, named: &[String]) -> bool {
    named.iter().any(|named| changed.ends_with(Path::new(named.trim_start_matches("./"))))
}

/// Finds the targets of `[text](target)` and `[text](<target>)`.
fn link_targets(text: &str, add: &mut impl FnMut(&str)) {
    for (at, _) in text.match_indices("](").take(MOST) {
        let target = &text[at + 2..];
        let target = match target.strip_prefix('<') {
            Some(target) => target.split(['>', '\n']).next(),
            None => target.split([')', '\n', ' ']).next(),
        };
        let Some(target) = target else { continue };
        match percent_encoding::percent_decode_str(target).decode_utf8() {
            Ok(decoded) => add(&decoded),
            Err(_) => add(target),
        }
    }
}

/// Splits at white space, and at the marks that stand without it in other scripts. Links are told apart.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || "“”‘’「」『』《》（），。；！？、".contains(c);
    text.split(ends).filter(|word| !word.contains("]("))
}

/// Takes quotes, brackets and the end of a sentence off a word.
fn bare(word: &str) -> &str {
    let around = |c: char| "\"'()[]{}<>*,;!?".contains(c);
    word.trim_matches(around).trim_end_matches([':', '.']).trim_matches(around)
}

/// Tells whether a word ends in `:12` or `:12:3`, as editors write places.
fn has_line_number(word: &str) -> bool {
    let mut parts = word.split(':');
    let path = parts.next().unwrap_or_default();
    let mut parts = parts.peekable();
    !path.is_empty()
        && parts.peek().is_some()
        && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn looks_like_path(word: &str) -> bool {
    let local = word.strip_prefix("file://").unwrap_or(word);
    let is_address = local.contains("://") || local.starts_with("/api/") || local.starts_with("//");
    let extension = local.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, end)| end);
    let has_extension = extension.is_some_and(|end| {
        (1..=8).contains(&end.len())
            && end.bytes().all(|b| b.is_ascii_alphanumeric())
            && end.bytes().any(|b| b.is_ascii_alphabetic())
    });
    !is_address
        && local.len() <= LONGEST
        && !local.ends_with('/')
        && !local.contains(|c: char| c.is_control())
        && (has_extension || local.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_found_however_they_are_written() {
        let text = "I wrote `out/my report.pdf`, [the table](data.csv), [it](<my notes.md>) and chart.png.\n\
                    See /home/o/a.txt, ~/b.txt:12 and \"c.json\"; v1.2 is at https://x.example/y.html, \
                    GET /api/assets/x.txt. Done e.g. in 3.5 hours. (src/main.rs:3:7) 见“报告.docx”。";
        assert_eq!(
            named(text),
            [
                "out/my report.pdf",
                "out/my",
                "report.pdf",
                "data.csv",
                "my notes.md",
                "notes.md",
                "chart.png",
                "/home/o/a.txt",
                "~/b.txt",
                "c.json",
                "e.g",
                "src/main.rs",
                "报告.docx"
            ]
        );
        assert_eq!(named("```\ncp a.txt b.txt\n```"), ["a.txt", "b.txt"]);
        assert_eq!(named("[x](file:///w/a%20b.txt)"), ["file:///w/a b.txt"]);
    }

    #[test]
    fn paths_are_seen_from_the_folder() {
        let seen = |named| resolve(named, Path::new("/w/run"), Path::new("/home/o"));
        assert_eq!(seen("a/b.txt"), Path::new("/w/run/a/b.txt"));
        assert_eq!(seen("~/b.txt"), Path::new("/home/o/b.txt"));
        assert_eq!(seen("/etc/passwd"), Path::new("/etc/passwd"));
        assert_eq!(seen("file:///w/a.txt"), Path::new("/w/a.txt"));
        let named = ["report.md".to_owned(), "./x/y.txt".to_owned()];
        assert!(is_named(Path::new("/w/run/out/report.md"), &named));
        assert!(is_named(Path::new("/w/x/y.txt"), &named));
        assert!(!is_named(Path::new("/w/myreport.md"), &named) && !is_named(Path::new("/w/y.txt"), &named));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|[`\\[\\]()<>/.~:\n]){0,300}") {
            for path in named(&text) {
                prop_assert!(path.len() <= LONGEST && !path.contains("://") || path.starts_with("file://"));
            }
        }

        #[test]
        fn a_path_in_backticks_is_found(path in "[a-z]{1,8}(/[a-z]{1,8}){0,3}\\.[a-z]{1,4}", before in "[a-z ]{0,20}") {
            let written = [format!("`{path}` is ready."), format!("[it]({path})."), format!("{path}.")];
            for written in written {
                let found = named(&format!("{before} {written}"));
                prop_assert!(found.contains(&path));
            }
        }
    }
}
