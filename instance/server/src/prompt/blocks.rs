//! The parts of a prompt, each with its name, and where in the whole it stands.

use remotelab_protocol::run::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The field of a manifest that holds the places.
const FIELD: &str = "promptBlocks";

/// A part of a prompt: its name, and its first byte and the one after its last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The parts of a prompt in their order.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<(&'static str, String)>);

impl Sections {
    pub(super) fn push(&mut self, name: &'static str, text: impl Into<String>) {
        self.0.push((name, text.into()));
    }

    /// Puts every white space of each part on one line.
    pub(super) fn flatten(&mut self) {
        for (_, text) in &mut self.0 {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }

    /// Joins the parts; returns where each of them is.
    pub(super) fn join(self, separator: &str) -> (String, Vec<Block>) {
        let (mut whole, mut blocks) = (String::new(), Vec::new());
        for (name, text) in self.0 {
            if !blocks.is_empty() {
                whole.push_str(separator);
            }
            let start = whole.len();
            whole.push_str(&text);
            blocks.push(Block { name: name.to_owned(), start, end: whole.len() });
        }
        (whole, blocks)
    }
}

/// Notes with a run where the parts of its prompt are.
pub(crate) fn note(manifest: &mut Manifest, blocks: &[Block]) {
    manifest.rest.insert(FIELD.to_owned(), json!(blocks));
}

/// Returns the parts of a run's prompt with their names; the whole as `prompt` when nobody noted them.
pub(crate) fn of(manifest: &Manifest) -> Vec<(String, &str)> {
    let noted = manifest.rest.get(FIELD).and_then(|noted| Vec::<Block>::deserialize(noted).ok());
    let parts: Option<Vec<_>> = noted.filter(|blocks| !blocks.is_empty()).and_then(|blocks| {
        let part = |block: Block| Some((block.name, manifest.prompt.get(block.start..block.end)?));
        blocks.into_iter().map(part).collect()
    });
    parts.unwrap_or_else(|| vec![("prompt".to_owned(), &manifest.prompt)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_found_in_the_whole() {
        let mut sections = Sections::default();
        sections.push("startup", "Ä  b\n");
        sections.push("message", "go");
        let (whole, blocks) = sections.join("\n--\n");
        let parts: Vec<(&str, &str)> =
            blocks.iter().map(|block| (block.name.as_str(), &whole[block.start..block.end])).collect();
        assert_eq!(parts, [("startup", "Ä  b\n"), ("message", "go")]);
        assert_eq!(whole, "Ä  b\n\n--\ngo");
    }
}
