//! The words of the page, in every language it speaks.
//!
//! `web/text/en.toml` names the keys. A key that a language lacks, or has too many, fails the tests; one that
//! nothing uses is a field that is never read, which the compiler reports.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

static ENGLISH: LazyLock<Words> = LazyLock::new(|| read(include_str!("../../web/text/en.toml")));
static CHINESE: LazyLock<Words> = LazyLock::new(|| read(include_str!("../../web/text/zh-CN.toml")));

impl Language {
    /// Chooses by an `Accept-Language` header; English when it asks for nothing that is known.
    #[must_use]
    pub fn from_accept(header: &str) -> Self {
        let quality = |item: &str| -> (f32, Option<Self>) {
            let (tag, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality =
                parameters.trim().strip_prefix("q=").map_or(1.0, |text| text.parse().unwrap_or(0.0));
            let language = match tag.trim().split('-').next().unwrap_or_default() {
                zh if zh.eq_ignore_ascii_case("zh") => Some(Self::Chinese),
                en if en.eq_ignore_ascii_case("en") => Some(Self::English),
                _ => None,
            };
            (quality, language)
        };
        let mut best = (0.0, Self::English);
        for (quality, language) in header.split(',').map(quality) {
            if let Some(language) = language.filter(|_| quality > best.0) {
                best = (quality, language);
            }
        }
        best.1
    }

    /// Returns its words.
    #[must_use]
    pub fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

fn read(text: &str) -> Words {
    toml::from_str(text).expect("the tests read every embedded table")
}

/// Puts values in place of `{name}`.
#[must_use]
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// A text that depends on a number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plural {
    one: Option<String>,
    other: String,
}

impl Plural {
    /// Writes it for a number.
    pub(crate) fn of(&self, n: usize) -> String {
        let text = self.one.as_ref().filter(|_| n == 1).unwrap_or(&self.other);
        fill(text, &[("n", &n.to_string())])
    }
}

/// All words of one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub(crate) tag: String,
    pub(crate) login: Login,
    pub(crate) enter: Enter,
    pub(crate) install: Install,
    pub(crate) list: List,
    pub(crate) state: State,
    pub(crate) time: Time,
    pub(crate) length: Length,
    pub(crate) session: Session,
    pub(crate) thread: Thread,
    pub(crate) step: Step,
    pub(crate) running: Running,
    pub(crate) queue: Queue,
    pub(crate) composer: Composer,
    pub(crate) home: Home,
    pub(crate) error: Error,
    pub(crate) client: Client,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) title: String,
    pub(crate) sentence: String,
    pub(crate) token: String,
    pub(crate) token_hint: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) submit: String,
    pub(crate) use_password: String,
    pub(crate) use_token: String,
    pub(crate) failed: String,
    pub(crate) locked: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enter {
    pub(crate) title: String,
    pub(crate) sentence: String,
    pub(crate) submit: String,
    pub(crate) hint: String,
    pub(crate) ended: String,
    pub(crate) ask: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Install {
    pub(crate) title: String,
    pub(crate) sentence: String,
    pub(crate) submit: String,
    pub(crate) how: String,
    pub(crate) once: String,
    pub(crate) go_on: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) heading: String,
    pub(crate) new: String,
    pub(crate) empty: String,
    pub(crate) empty_hint: String,
    pub(crate) pinned: String,
    pub(crate) today: String,
    pub(crate) yesterday: String,
    pub(crate) week: String,
    pub(crate) older: String,
    pub(crate) show: String,
    pub(crate) hide: String,
    pub(crate) sign_out: String,
    pub(crate) unread: String,
    pub(crate) archive: String,
    pub(crate) archive_empty: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) running: String,
    pub(crate) queued: Plural,
    pub(crate) failed: String,
    pub(crate) stopped: String,
    pub(crate) archived: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    pub(crate) now: String,
    pub(crate) minutes: String,
    pub(crate) hours: String,
    pub(crate) days: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Length {
    pub(crate) seconds: String,
    pub(crate) minutes: String,
    pub(crate) hours: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    pub(crate) untitled: String,
    pub(crate) to_composer: String,
    pub(crate) more: String,
    pub(crate) rename: String,
    pub(crate) pin: String,
    pub(crate) unpin: String,
    pub(crate) archive: String,
    pub(crate) restore: String,
    pub(crate) fork: String,
    pub(crate) compact: String,
    pub(crate) home_folder: String,
    pub(crate) empty: String,
    pub(crate) empty_hint: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thread {
    pub(crate) label: String,
    pub(crate) you: String,
    pub(crate) earlier: String,
    pub(crate) worked: String,
    pub(crate) worked_for: String,
    pub(crate) steps: Plural,
    pub(crate) used: String,
    pub(crate) failed: String,
    pub(crate) try_again: String,
    pub(crate) details: String,
    pub(crate) stopped: String,
    pub(crate) context: String,
    pub(crate) checked: String,
    pub(crate) check_continued: String,
    pub(crate) check_failed: String,
    pub(crate) files: Plural,
    pub(crate) download: String,
    pub(crate) usage: String,
    pub(crate) usage_of: String,
    pub(crate) usage_detail: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) loading: String,
    pub(crate) thought: String,
    pub(crate) said: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) no_output: String,
    pub(crate) succeeded: String,
    pub(crate) exit: String,
    pub(crate) added: String,
    pub(crate) changed: String,
    pub(crate) deleted: String,
    pub(crate) none: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) starting: String,
    pub(crate) thinking: String,
    pub(crate) command: String,
    pub(crate) tool: String,
    pub(crate) file: String,
    pub(crate) writing: String,
    pub(crate) working: String,
    pub(crate) checking: String,
    pub(crate) summarising: String,
    pub(crate) stopping: String,
    pub(crate) stop: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) title: Plural,
    pub(crate) hint: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Composer {
    pub(crate) label: String,
    pub(crate) first: String,
    pub(crate) reply: String,
    pub(crate) follow_up: String,
    pub(crate) archived: String,
    pub(crate) send: String,
    pub(crate) enqueue: String,
    pub(crate) attach: String,
    pub(crate) drop: String,
    pub(crate) tool: String,
    pub(crate) model: String,
    pub(crate) effort: String,
    pub(crate) folder: String,
    pub(crate) folder_hint: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Home {
    pub(crate) heading: String,
    pub(crate) sentence: String,
    pub(crate) demo: String,
    pub(crate) demo_install: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Error {
    pub(crate) not_found: String,
    pub(crate) not_found_sentence: String,
    pub(crate) locked: String,
    pub(crate) locked_sentence: String,
    pub(crate) broken: String,
    pub(crate) broken_sentence: String,
    pub(crate) home: String,
}

/// Words that the scripts need.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) sending: String,
    pub(crate) waiting: String,
    pub(crate) refused: String,
    pub(crate) retry: String,
    pub(crate) edit: String,
    pub(crate) discard: String,
    pub(crate) uploading: String,
    pub(crate) remove_file: String,
    pub(crate) too_large: String,
    pub(crate) file_lost: String,
    pub(crate) only_files: String,
    pub(crate) by_default: String,
    pub(crate) on: String,
    pub(crate) reconnecting: String,
    pub(crate) offline: String,
    pub(crate) stale: String,
    pub(crate) signed_out: String,
    pub(crate) sign_in: String,
    pub(crate) copy: String,
    pub(crate) copied: String,
    pub(crate) latest: String,
    pub(crate) new_below: String,
    pub(crate) answered: String,
    pub(crate) failed: String,
    pub(crate) started: String,
    pub(crate) not_loaded: String,
    pub(crate) not_done: String,
    pub(crate) no_server: String,
    pub(crate) rename_prompt: String,
    pub(crate) archived: String,
    pub(crate) undo: String,
    pub(crate) forked: String,
    pub(crate) today: String,
    pub(crate) yesterday: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const TABLES: [&str; 2] =
        [include_str!("../../web/text/en.toml"), include_str!("../../web/text/zh-CN.toml")];

    #[test]
    fn every_language_has_every_key_and_the_same_places() {
        let [english, chinese] = TABLES.map(|text| keys(&text.parse().unwrap()));
        assert_eq!(english, chinese);
        assert_eq!(Language::English.words().tag, "en");
        assert_eq!(Language::Chinese.words().tag, "zh-CN");
    }

    #[test]
    fn the_scripts_use_every_word_they_are_given() {
        let scripts: String = crate::web::assets::scripts();
        let table: toml::Table = TABLES[0].parse().unwrap();
        for section in ["client", "time"] {
            for key in table[section].as_table().unwrap().keys() {
                assert!(scripts.contains(&format!("words.{section}.{key}")), "{section}.{key}");
            }
        }
    }

    #[test]
    fn the_language_follows_the_browser() {
        let cases = [
            ("", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-GB,en;q=0.9,zh;q=0.8", Language::English),
            ("de, zh-TW;q=0.5", Language::Chinese),
            ("fr;q=bad,;;,zh;q=0", Language::English),
        ];
        for (header, language) in cases {
            assert_eq!(Language::from_accept(header), language, "{header}");
        }
    }

    #[test]
    fn numbers_choose_their_form() {
        let steps = &Language::English.words().thread.steps;
        assert_eq!([steps.of(1), steps.of(2)], ["1 step", "2 steps"]);
    }

    /// Lists `section.key{places}`.
    fn keys(table: &toml::Table) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (section, value) in table {
            let Some(entries) = value.as_table() else {
                keys.insert(section.clone());
                continue;
            };
            for (key, value) in entries {
                let text = value.as_str().or_else(|| value.get("other")?.as_str()).unwrap();
                let places: BTreeSet<_> =
                    text.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
                keys.insert(format!("{section}.{key}{places:?}"));
            }
        }
        keys
    }
}
