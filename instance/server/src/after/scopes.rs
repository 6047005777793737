//! `projects.md` of the memory folder: which projects there are, and which of them a turn is about.

/// How many projects are told.
const ENTRIES: usize = 6;
const CHARS: usize = 1_400;
const MAX_TRIGGERS: i32 = 5;

/// Returns the projects that fit a text and a folder best, one line each; the first ones when none does.
pub(super) fn relevant(projects: &str, text: &str, folder: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let mut scored: Vec<(i32, Project<'_>)> =
        parse(projects).into_iter().map(|project| (project.score(&text, folder), project)).collect();
    if scored.iter().any(|(score, _)| *score > 0) {
        scored.retain(|(score, _)| *score > 0);
        // Stable, so that equals stay in the owner's order.
        scored.sort_by_key(|(score, _)| -score);
    }
    let mut room = CHARS;
    let lines = scored.iter().take(ENTRIES).map(|(_, project)| project.line());
    lines
        .take_while(|line| room.checked_sub(line.chars().count()).inspect(|left| room = *left).is_some())
        .collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Project<'a> {
    title: &'a str,
    paths: Vec<&'a str>,
    triggers: Vec<&'a str>,
    bullets: Vec<&'a str>,
}

impl Project<'_> {
    fn score(&self, text: &str, folder: &str) -> i32 {
        let in_text = |word: &str| !word.is_empty() && text.contains(&word.to_lowercase());
        let hits = self.triggers.iter().filter(|trigger| in_text(trigger)).count();
        let hits = i32::try_from(hits).unwrap_or(MAX_TRIGGERS).min(MAX_TRIGGERS);
        let inside =
            |path: &&str| folder == *path || folder.starts_with(&format!("{}/", path.trim_end_matches('/')));
        4 * i32::from(in_text(self.title)) + 2 * hits + 8 * i32::from(self.paths.iter().any(inside))
    }

    fn line(&self) -> String {
        format!("- {}: {}", self.title, self.bullets.join("; "))
    }
}

fn parse(projects: &str) -> Vec<Project<'_>> {
    let mut found: Vec<Project<'_>> = Vec::new();
    for line in projects.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            found.push(Project { title: title.trim(), ..Project::default() });
            continue;
        }
        let bullet = line.trim_start().strip_prefix("- ");
        let (Some(project), Some(bullet)) = (found.last_mut(), bullet) else { continue };
        project.bullets.push(bullet.trim());
        match bullet.split_once(':') {
            Some(("Path" | "Paths", value)) => {
                project.paths.extend(value.split('`').skip(1).step_by(2).map(str::trim));
            }
            Some(("Triggers", value)) => {
                let words = value.split([',', '、', ';']).map(str::trim);
                project.triggers.extend(words.filter(|word| !word.is_empty()));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROJECTS: &str = "# Projects\n\n## Sales\n- Type: data\n- Path: `/w/sales`\n- Triggers: invoices, 发票\n\n\
        ## Garden\n- Paths: `/g`, `/h`\n- First read: `/g/notes.md`\n";

    #[test]
    fn the_best_fit_comes_first_and_alone() {
        let sales = "- Sales: Type: data; Path: `/w/sales`; Triggers: invoices, 发票";
        let garden = "- Garden: Paths: `/g`, `/h`; First read: `/g/notes.md`";
        assert_eq!(relevant(PROJECTS, "check the INVOICES", "/x"), [sales]);
        assert_eq!(relevant(PROJECTS, "核对发票", "/h/beds"), [garden, sales]);
        assert_eq!(relevant(PROJECTS, "anything", "/gs"), [sales, garden]);
        assert_eq!(relevant("", "x", "/"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_within_its_limits(projects in "(## |- |Path: `|`|\\PC|\n){0,200}") {
            let lines = relevant(&projects, "a", "/");
            prop_assert!(lines.len() <= ENTRIES);
            prop_assert!(lines.iter().map(|line| line.chars().count()).sum::<usize>() <= CHARS);
        }
    }
}
