//! How each executor wants its tools called.

use serde_json::{Value, json};

use super::reply::Part;

/// A call of one of the tools that an executor offered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) input: Value,
}

impl Call {
    /// Writes the call that `part` is for the first fitting tool on offer, Claude's when there is none.
    /// `None` for a part that is no call.
    pub(super) fn of(part: &Part, is_offered: impl Fn(&str) -> bool) -> Option<Self> {
        let calls = match part {
            Part::Shell(command) => shell(command),
            Part::AddFile { path, content } => add_file(path, content),
            Part::Reasoning(_) | Part::Message(_) | Part::Hold(_) => return None,
        };
        let fitting = calls.iter().position(|call| is_offered(call.name)).unwrap_or_default();
        calls.into_iter().nth(fitting)
    }
}

fn shell(command: &str) -> Vec<Call> {
    let described = json!({"command": command, "description": "As the script says"});
    vec![
        Call { name: "Bash", input: described.clone() },
        // OpenCode and GitHub Copilot, Gemini, Cline.
        Call { name: "bash", input: described.clone() },
        Call { name: "run_shell_command", input: described },
        Call { name: "run_commands", input: json!({"commands": [command]}) },
    ]
}

fn add_file(path: &str, content: &str) -> Vec<Call> {
    vec![
        Call { name: "Write", input: json!({"file_path": path, "content": content}) },
        // OpenCode, GitHub Copilot, Gemini, Cline.
        Call { name: "write", input: json!({"filePath": path, "content": content}) },
        Call { name: "create", input: json!({"path": path, "file_text": content}) },
        Call { name: "write_file", input: json!({"file_path": path, "content": content}) },
        Call { name: "editor", input: json!({"path": path, "new_text": content}) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_on_offer_is_called() {
        let part = Part::Shell("ls".into());
        let name = |offered: &str| Call::of(&part, |name| name == offered).map(|call| call.name);
        assert_eq!(name("bash"), Some("bash"));
        assert_eq!(name("nothing like it"), Some("Bash"));
        assert_eq!(Call::of(&Part::Reasoning("hm".into()), |_| true), None);
    }
}
