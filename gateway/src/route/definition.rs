//! The port that a service definition gives to its chat server.

/// Finds `CHAT_PORT` in an environment file or a property list.
#[must_use]
pub fn chat_port(definition: &str) -> Option<u16> {
    let text = in_property_list(definition).or_else(|| in_environment_file(definition))?;
    text.trim().parse().ok().filter(|&port| port != 0)
}

fn in_property_list(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("<key>CHAT_PORT</key>")?;
    after.trim_start().strip_prefix("<string>")?.split('<').next()
}

fn in_environment_file(text: &str) -> Option<&str> {
    text.lines().rev().find_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let value = line.strip_prefix("CHAT_PORT=")?.trim();
        Some(value.trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_understood() {
        let plist = "<dict><key>CHAT_PORT</key>\n  <string>7701</string><key>HOME</key></dict>";
        for (text, port) in [
            (plist, Some(7701)),
            ("HOME=/x\nCHAT_PORT=7702\n", Some(7702)),
            ("CHAT_PORT=1\nexport CHAT_PORT='7703'", Some(7703)),
            ("# CHAT_PORT=1", None),
            ("CHAT_PORT=70000", None),
            ("CHAT_PORT=0", None),
            ("<key>CHAT_PORT</key><integer>7701</integer>", None),
            ("", None),
        ] {
            assert_eq!(chat_port(text), port, "{text}");
        }
    }
}
