//! Names of several guests in one word: `trial*`, `demo-?`.

/// Tells whether a word stands for several names.
#[must_use]
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Tells whether a pattern fits a name: `*` stands for anything, `?` for one character.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut place) = (0, 0);
    // Where the last star stands, and up to which place of the name it reaches.
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((stands, reaches)) => {
                    *reaches += 1;
                    (at, place) = (*stands + 1, *reaches);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_question_marks_for_one_character() {
        for (pattern, name, expected) in [
            ("trial*", "trial1", true),
            ("trial*", "trial", true),
            ("trial*", "a-trial", false),
            ("*", "x", true),
            ("**", "", true),
            ("trial?", "trial10", false),
            ("trial??", "trial10", true),
            ("*-b*-d", "a-b-c-b-d", true),
            ("*-b*-d", "a-b-c", false),
            ("x", "x", true),
            ("x", "xy", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_the_name_allows() {
        assert!(!fits(&"*a".repeat(30), &"a".repeat(29)));
        assert!(fits(&"*a".repeat(30), &"a".repeat(63)));
    }
}
