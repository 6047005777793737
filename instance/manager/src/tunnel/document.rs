//! The settings of a tunnel as a text whose rules can be read and changed, one by one.

use std::ops::Range;

use super::scalar::{self, Scalar};

/// Where everything goes that no rule is about.
const NOWHERE: &str = "http_status:404";

/// Settings that are understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// With their ends.
    lines: Vec<String>,
    section: Option<Section>,
    tunnel: Option<String>,
    credentials_file: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    /// Behind the line of its key.
    start: usize,
    /// How far its rules are indented.
    indent: usize,
    rules: Vec<Rule>,
}

/// One rule: what comes for a host name goes to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which host name, perhaps with a leading `*.`; empty for all.
    pub hostname: String,
    /// For which paths; empty for all.
    pub path: String,
    /// Where it goes.
    pub service: String,
    lines: Range<usize>,
    /// In which line the service stands, and where in it.
    place: Option<(usize, Range<usize>)>,
}

impl Rule {
    /// Tells whether the rule is for a host name, whatever the path.
    #[must_use]
    pub fn covers(&self, hostname: &str) -> bool {
        match self.hostname.strip_prefix('*') {
            Some(domain) => hostname.ends_with(domain) && hostname.len() > domain.len(),
            None => self.hostname == hostname,
        }
    }

    fn is_for_all(&self) -> bool {
        self.path.is_empty() && (self.hostname.is_empty() || self.hostname == "*")
    }
}

impl Document {
    /// Reads settings.
    ///
    /// # Errors
    /// What is not understood, with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let mut document = Self { lines, section: None, tunnel: None, credentials_file: None };
        let mut index = 0;
        while index < document.lines.len() {
            let line = content(&document.lines[index]);
            index += 1;
            let number = index;
            let odd = |reason: &str| format!("line {number}: {reason}");
            if is_empty(line) || line.starts_with(' ') || line.starts_with("- ") {
                continue;
            }
            if line.contains('\t') {
                return Err(odd("a tab"));
            }
            if line == "---" && index == 1 {
                continue;
            }
            let Some((key, value)) = key_of(line, 0) else {
                return Err(odd("no key with a value"));
            };
            match key {
                "tunnel" => document.tunnel = Some(scalar::read(line, value).map_err(odd)?.text),
                "credentials-file" => {
                    document.credentials_file = Some(scalar::read(line, value).map_err(odd)?.text);
                }
                "ingress" if document.section.is_some() => return Err(odd("a second list of rules")),
                "ingress" => {
                    let value = scalar::read(line, value).map_err(odd)?;
                    if !value.text.is_empty() {
                        return Err(odd("no list of rules"));
                    }
                    let section = section(&document.lines, index)?;
                    index = section.rules.last().map_or(index, |rule| rule.lines.end);
                    document.section = Some(section);
                }
                _ => {}
            }
        }
        Ok(document)
    }

    /// All rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        self.section.as_ref().map_or(&[], |section| section.rules.as_slice())
    }

    /// The tunnel's name or id.
    #[must_use]
    pub fn tunnel(&self) -> Option<&str> {
        self.tunnel.as_deref().filter(|name| !name.is_empty())
    }

    /// Where the tunnel's credentials are, and so its id.
    #[must_use]
    pub fn credentials_file(&self) -> Option<&str> {
        self.credentials_file.as_deref()
    }

    /// The text that these settings are.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.concat()
    }

    /// Leads a host name to a service: its rule is changed, or a new one stands before the last.
    ///
    /// # Errors
    /// What the settings are not understood for afterwards, which is a mistake here, not theirs.
    pub fn set(&self, hostname: &str, service: &str) -> Result<Self, String> {
        let mut lines = self.lines.clone();
        match self.rule_of(hostname) {
            Some(Rule { place: Some((line, span)), .. }) => {
                lines[*line].replace_range(span.clone(), &scalar::write(service));
            }
            Some(_) => return Err(format!("the rule of {hostname} has no service")),
            None => self.insert(&mut lines, hostname, service),
        }
        self.proven(lines, |rules| {
            let has_it = bare(rules).any(|rule| rule == (hostname, rule.1, service));
            let mut now = bare(rules).filter(|rule| rule.0 != hostname);
            // A list that had none gets a last rule, too.
            has_it
                && bare(self.rules()).filter(|rule| rule.0 != hostname).all(|rule| now.next() == Some(rule))
        })
    }

    /// Takes the rules of a host name out. Comments stay.
    ///
    /// # Errors
    /// As [`Document::set`].
    pub fn remove(&self, hostname: &str) -> Result<Self, String> {
        let hostname = hostname.to_lowercase();
        let gone: Vec<Range<usize>> = self
            .rules()
            .iter()
            .filter(|rule| rule.hostname == hostname)
            .map(|rule| rule.lines.clone())
            .collect();
        let lines = self.lines.iter().enumerate();
        let left = lines.filter(|(index, line)| {
            !gone.iter().any(|range| range.contains(index)) || content(line).trim_start().starts_with('#')
        });
        let lines = left.map(|(_, line)| line.clone()).collect();
        self.proven(lines, |rules| bare(rules).eq(bare(self.rules()).filter(|rule| rule.0 != hostname)))
    }

    /// Why `cloudflared` would not take these rules.
    ///
    /// # Errors
    /// The first reason.
    pub fn validate(&self) -> Result<(), String> {
        let rules = self.rules();
        let Some((last, others)) = rules.split_last() else {
            return Err("there are no rules".to_owned());
        };
        if !last.is_for_all() {
            return Err("the last rule must be for all host names and paths".to_owned());
        }
        if let Some(number) = others.iter().position(Rule::is_for_all) {
            return Err(format!(
                "rule {} is for everything, so those after it are never reached",
                number + 1
            ));
        }
        match rules.iter().find(|rule| !is_service(&rule.service)) {
            Some(rule) => Err(format!("{:?} is no service", rule.service)),
            None => Ok(()),
        }
    }

    /// The rule to change for a host name: one for all of its paths, if there is one.
    fn rule_of(&self, hostname: &str) -> Option<&Rule> {
        let of_name = || self.rules().iter().filter(|rule| rule.hostname == hostname);
        of_name().find(|rule| rule.path.is_empty()).or_else(|| of_name().next())
    }

    fn insert(&self, lines: &mut Vec<String>, hostname: &str, service: &str) {
        let end = if self.lines.iter().any(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        let indent = " ".repeat(self.section.as_ref().map_or(2, |section| section.indent));
        let rule = [
            format!("{indent}- hostname: {}{end}", scalar::write(hostname)),
            format!("{indent}  service: {}{end}", scalar::write(service)),
        ];
        let last_of_all = [format!("{indent}- service: {NOWHERE}{end}")];
        if let Some(last) = lines.last_mut().filter(|line| !line.ends_with('\n')) {
            last.push_str(end);
        }
        let Some(section) = &self.section else {
            lines.extend([format!("{end}ingress:{end}")].into_iter().chain(rule).chain(last_of_all));
            return;
        };
        match section.rules.last() {
            Some(last) if last.is_for_all() => {
                // What stands above the last rule is about it.
                let above = |line: &&String| content(line).trim_start().starts_with('#');
                let before = &self.lines[section.start..last.lines.start];
                let at = last.lines.start - before.iter().rev().take_while(above).count();
                lines.splice(at..at, rule);
            }
            last => {
                let at = last.map_or(section.start, |last| last.lines.end);
                lines.splice(at..at, rule.into_iter().chain(last_of_all));
            }
        }
    }

    /// Understands changed lines, and wants the rules to be as they were meant and every comment to be there still.
    fn proven(&self, lines: Vec<String>, is_meant: impl Fn(&[Rule]) -> bool) -> Result<Self, String> {
        let changed = Self::parse(&lines.concat())?;
        let comments = |document: &Self| {
            let lines = document.lines.iter().map(|line| content(line).trim().to_owned());
            lines.filter(|line| line.starts_with('#')).collect::<Vec<_>>()
        };
        let is_whole = comments(&changed) == comments(self) && changed.tunnel == self.tunnel;
        if is_whole && is_meant(changed.rules()) {
            Ok(changed)
        } else {
            Err("its rules are interwoven".to_owned())
        }
    }
}

fn bare(rules: &[Rule]) -> impl Iterator<Item = (&str, &str, &str)> {
    rules.iter().map(|rule| (rule.hostname.as_str(), rule.path.as_str(), rule.service.as_str()))
}

/// Reads the rules that begin in this line.
fn section(lines: &[String], start: usize) -> Result<Section, String> {
    let mut section = Section { start, indent: 2, rules: Vec::new() };
    let mut index = start;
    while let Some(line) = lines.get(index) {
        let line = content(line);
        let odd = |reason: &str| format!("line {}: {reason}", index + 1);
        let indent = line.len() - line.trim_start_matches(' ').len();
        let is_item = line[indent..].starts_with("- ") || &line[indent..] == "-";
        if is_empty(line) {
            index += 1;
            continue;
        }
        if line[indent..].starts_with('\t') {
            return Err(odd("a tab"));
        }
        if section.rules.is_empty() && is_item {
            section.indent = indent;
        }
        if !is_item || indent != section.indent {
            if indent > 0 && (section.rules.is_empty() || indent >= section.indent) {
                return Err(odd("no rule"));
            }
            break;
        }
        let rule = rule(lines, index, indent)?;
        index = rule.lines.end;
        section.rules.push(rule);
    }
    Ok(section)
}

/// Reads the rule that begins in this line.
fn rule(lines: &[String], start: usize, indent: usize) -> Result<Rule, String> {
    let mut rule = Rule {
        hostname: String::new(),
        path: String::new(),
        service: String::new(),
        lines: start..start + 1,
        place: None,
    };
    // Where its keys stand; a rule may begin below its dash.
    let mut column = None;
    for (index, line) in lines.iter().enumerate().skip(start) {
        let line = content(line);
        let odd = |reason: &str| format!("line {}: {reason}", index + 1);
        let own = if index == start { indent + 1 } else { 0 };
        let depth = own + line[own..].len() - line[own..].trim_start_matches(' ').len();
        if is_empty(line) {
            continue;
        }
        if index == start && is_empty(&line[own..]) {
            continue;
        }
        if index > start && depth <= indent {
            break;
        }
        if line[depth..].starts_with('\t') {
            return Err(odd("a tab"));
        }
        let column = *column.get_or_insert(depth);
        rule.lines.end = index + 1;
        if depth > column {
            // Settings of the rule's own connections, which nobody here reads.
            continue;
        }
        if depth < column {
            return Err(odd("a key that stands out"));
        }
        let (key, at) = key_of(line, depth).ok_or_else(|| odd("no key with a value"))?;
        let scalar = match scalar::read(line, at) {
            // Only what matters must be understood.
            Err(_) if !matches!(key, "hostname" | "path" | "service") => continue,
            outcome => outcome.map_err(odd)?,
        };
        match (key, scalar) {
            ("hostname", scalar) => rule.hostname = scalar.text.to_lowercase(),
            ("path", scalar) => rule.path = scalar.text,
            ("service", Scalar { text, span }) => {
                rule.service = text;
                rule.place = Some((index, span));
            }
            _ => {}
        }
    }
    Ok(rule)
}

/// The key that begins at a place of a line, and where its value does.
fn key_of(line: &str, from: usize) -> Option<(&str, usize)> {
    let colon = from + line[from..].find(':')?;
    let key = line[from..colon].trim_end();
    let is_plain =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_end = matches!(line.as_bytes().get(colon + 1), None | Some(b' '));
    (is_plain && is_end).then_some((key, colon + 1))
}

/// A line without its end.
fn content(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn is_service(text: &str) -> bool {
    let is_status = |text: &str| text.parse::<u16>().is_ok_and(|status| (100..1000).contains(&status));
    match text.split_once(':') {
        Some(("http_status", status)) => is_status(status),
        Some(("unix" | "unix+tls", path)) => path.starts_with('/'),
        Some((scheme, rest)) => {
            let known = ["http", "https", "ws", "wss", "tcp", "ssh", "rdp", "smb", "bastion"];
            known.contains(&scheme) && rest.len() > 2 && rest.starts_with("//")
        }
        None => matches!(text, "hello_world" | "hello-world" | "bastion" | "socks-proxy"),
    }
}

#[cfg(test)]
mod tests;
