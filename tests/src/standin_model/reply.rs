//! One model turn, chosen from the script by the state of the conversation.

use super::question::Question;
use super::script::{Rule, Script, Step, When};

/// What goes back for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// An HTTP error; `rule` and `step` tell which one, so that it can be counted.
    Refusal { status: u16, rule: usize, step: usize },
    /// Parts to stream.
    Turn(Vec<Part>),
}

/// One item of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Reasoning(String),
    Message(Vec<Chunk>),
    Shell(String),
    AddFile { path: String, content: String },
    Hold(String),
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunk {
    Say(String),
    Hold(String),
}

impl Reply {
    /// Chooses the answer to `question`. `refused` tells how often a status step was given already.
    pub(super) fn choose(
        script: &Script,
        question: &Question,
        refused: impl Fn(usize, usize) -> u32,
    ) -> Self {
        let Some((index, rule)) = find(script, question) else {
            let last_line = question.user_text().lines().last().unwrap_or_default();
            return Self::Turn(vec![say(&format!("You said: {last_line}"))]);
        };
        let turn = turn(rule, question.results);
        for (step, action) in &turn {
            if let Step::Status { code, times } = action
                && times.is_none_or(|times| refused(index, *step) < times)
            {
                return Self::Refusal { status: *code, rule: index, step: *step };
            }
        }
        let parts = parts(turn.iter().map(|(_, step)| *step));
        // A model never answers with nothing; executors take that for a fault.
        Self::Turn(if parts.is_empty() { vec![say("Done.")] } else { parts })
    }
}

fn find<'a>(script: &'a Script, question: &Question) -> Option<(usize, &'a Rule)> {
    script.rules.iter().enumerate().find(|(_, rule)| match &rule.when {
        When::Always => true,
        When::Text(text) => question.user_text().contains(text),
        When::Prompt(text) => question.prompt.contains(text),
    })
}

/// The steps after the first `results` calls, up to and including the next call.
fn turn(rule: &Rule, results: usize) -> Vec<(usize, &Step)> {
    let mut calls = 0;
    let mut steps = Vec::new();
    for (index, step) in rule.steps.iter().enumerate() {
        if calls == results {
            steps.push((index, step));
        }
        if step.is_call() {
            calls += 1;
        }
    }
    steps
}

fn parts<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<Part> {
    let mut parts = Vec::new();
    for step in steps {
        match step {
            Step::Text(text) => {
                let chunk = Chunk::Say(text.clone());
                match parts.last_mut() {
                    Some(Part::Message(chunks)) => chunks.push(chunk),
                    _ => parts.push(Part::Message(vec![chunk])),
                }
            }
            Step::Hold(gate) => match parts.last_mut() {
                Some(Part::Message(chunks)) => chunks.push(Chunk::Hold(gate.clone())),
                _ => parts.push(Part::Hold(gate.clone())),
            },
            Step::Reasoning(text) => parts.push(Part::Reasoning(text.clone())),
            Step::Shell(command) => parts.push(Part::Shell(command.clone())),
            Step::AddFile { path, content } => {
                parts.push(Part::AddFile { path: path.clone(), content: content.clone() });
            }
            Step::Status { .. } => {}
        }
    }
    parts
}

fn say(text: &str) -> Part {
    Part::Message(vec![Chunk::Say(text.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(prompt: &str, results: usize) -> Question {
        Question { prompt: prompt.into(), results }
    }

    #[test]
    fn without_a_rule_the_last_line_is_repeated() {
        let reply = Reply::choose(&Script::new(), &asked("rules\nUser message:\none\ntwo", 0), |_, _| 0);
        assert_eq!(reply, Reply::Turn(vec![say("You said: two")]));
    }

    #[test]
    fn each_turn_ends_with_a_call_and_the_last_with_the_text() {
        let script = Script::new().when_text(
            "go",
            [
                Step::reasoning("hm"),
                Step::shell("one"),
                Step::text("now "),
                Step::hold("g"),
                Step::text("two"),
                Step::add_file("a", "b"),
                Step::text("end"),
            ],
        );
        let turn = |results| Reply::choose(&script, &asked("go", results), |_, _| 0);

        assert_eq!(turn(0), Reply::Turn(vec![Part::Reasoning("hm".into()), Part::Shell("one".into())]));
        assert_eq!(
            turn(1),
            Reply::Turn(vec![
                Part::Message(vec![
                    Chunk::Say("now ".into()),
                    Chunk::Hold("g".into()),
                    Chunk::Say("two".into()),
                ]),
                Part::AddFile { path: "a".into(), content: "b".into() },
            ])
        );
        assert_eq!(turn(2), Reply::Turn(vec![say("end")]));
        assert_eq!(turn(3), Reply::Turn(vec![say("Done.")]));
    }

    #[test]
    fn a_status_step_gives_way_after_its_times() {
        let script = Script::new().otherwise([Step::status_times(500, 2), Step::text("fine")]);
        let reply = |before| Reply::choose(&script, &asked("x", 0), |_, _| before);

        let refusal = Reply::Refusal { status: 500, rule: 0, step: 0 };
        assert_eq!(reply(0), refusal);
        assert_eq!(reply(1), refusal);
        assert_eq!(reply(2), Reply::Turn(vec![say("fine")]));
    }
}
