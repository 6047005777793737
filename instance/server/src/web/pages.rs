//! Whole documents.

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::view::{Composer, RowState, SessionList, SessionPage, Viewer};
use super::words::{Language, Words};
use super::{assets, icons};

/// How the page is installed as an app.
const MANIFEST: &str = "manifest.json";

/// The sign-in page.
#[derive(Clone, Debug)]
pub struct LoginPage {
    /// Path of this instance as the browser sees it: `/` or `/trial1/`.
    pub base: String,
    /// The language.
    pub language: Language,
    /// The instance's name.
    pub instance: String,
    /// Which form shows.
    pub mode: LoginMode,
    /// Whether the last attempt failed.
    pub failed: bool,
    /// Whether too many did.
    pub locked: bool,
    /// The path that was asked for, relative to the base; sent along as `next`. May be empty.
    pub next: String,
}

/// The page of a link that is good for a while.
#[derive(Clone, Debug)]
pub struct EnterPage {
    /// Path of this instance as the browser sees it: `/` or `/trial1/`.
    pub base: String,
    /// Its language.
    pub language: Language,
    /// The instance's name.
    pub instance: String,
    /// What the button presents; nothing when the link leads nowhere.
    pub link: Option<String>,
}

/// The two ways to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginMode {
    /// Name and password.
    Password,
    /// The owner token.
    #[default]
    Token,
}

/// The page with the list and, beside it, a session or a new task.
#[derive(Clone, Debug)]
pub struct ShellPage {
    /// Path of this instance as the browser sees it: `/` or `/trial1/`.
    pub base: String,
    /// The same nonce as in [`super::csp`].
    pub nonce: String,
    /// The instance's name.
    pub instance: String,
    /// For whom.
    pub viewer: Viewer,
    /// The list.
    pub list: SessionList,
    /// What is open.
    pub main: Main,
    /// Proves that a form without script is ours; may be empty.
    pub form_token: String,
}

/// What is open beside the list.
#[derive(Clone, Debug)]
pub enum Main {
    /// A session.
    Session(Box<SessionPage>),
    /// The field for a new task.
    New(Box<Composer>),
}

/// The page that installs the app.
#[derive(Clone, Debug)]
pub struct InstallPage {
    /// Path of this instance as the browser sees it: `/` or `/trial1/`.
    pub base: String,
    /// The same nonce as in [`super::csp`].
    pub nonce: String,
    /// The language.
    pub language: Language,
    /// The instance's name.
    pub instance: String,
    /// Proves that the form is ours.
    pub form_token: String,
    /// From where the person came, in the caller's words; handed on as it is.
    pub source: String,
    /// The hand-off that signs the app in; without one there is a button that makes it.
    pub handoff: Option<String>,
}

/// A page that says what went wrong.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// Path of this instance as the browser sees it: `/` or `/trial1/`.
    pub base: String,
    /// The language.
    pub language: Language,
    /// What went wrong.
    pub kind: ErrorKind,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such page or session.
    NotFound,
    /// Too many attempts to sign in.
    Locked,
    /// The server failed.
    Broken,
}

/// Draws the sign-in page.
#[must_use]
pub fn login(page: &LoginPage) -> String {
    drawn(&Login { page })
}

/// Draws the page of a link that is good for a while.
#[must_use]
pub fn enter(page: &EnterPage) -> String {
    drawn(&Enter { page })
}

/// Draws the page with the list.
#[must_use]
pub fn shell(page: &ShellPage) -> String {
    drawn(&Shell { page })
}

/// Draws the page that installs the app.
#[must_use]
pub fn install(page: &InstallPage) -> String {
    drawn(&Install { page })
}

/// Draws the page of an error.
#[must_use]
pub fn error(page: &ErrorPage) -> String {
    drawn(&Failure { page })
}

fn drawn(template: &impl Template) -> String {
    template.render().expect("writing to a string cannot fail")
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    page: &'a LoginPage,
}

#[derive(Template)]
#[template(path = "enter.html")]
struct Enter<'a> {
    page: &'a EnterPage,
}

#[derive(Template)]
#[template(path = "shell.html")]
struct Shell<'a> {
    page: &'a ShellPage,
}

#[derive(Template)]
#[template(path = "install.html")]
struct Install<'a> {
    page: &'a InstallPage,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failure<'a> {
    page: &'a ErrorPage,
}

impl LoginPage {
    fn words(&self) -> &'static Words {
        self.language.words()
    }

    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn next_query(&self) -> String {
        if self.next.is_empty() {
            return String::new();
        }
        format!("&next={}", utf8_percent_encode(&self.next, NON_ALPHANUMERIC))
    }
}

impl EnterPage {
    fn words(&self) -> &'static Words {
        self.language.words()
    }

    fn manifest(&self) -> &'static str {
        MANIFEST
    }
}

impl InstallPage {
    fn words(&self) -> &'static Words {
        self.language.words()
    }

    fn manifest(&self) -> String {
        let handoff = self.handoff.as_deref().unwrap_or_default();
        format!("manifest.install.json?h={handoff}&v={}", assets::version())
    }

    fn go_on(&self) -> String {
        format!("m/continue?h={}", self.handoff.as_deref().unwrap_or_default())
    }

    /// Facts for the script. A hand-off is letters, digits and underscores.
    fn data(&self) -> String {
        json!({"mobileInstall": {"handoffToken": self.handoff}}).to_string().replace('<', "\\u003c")
    }
}

impl ShellPage {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn title(&self) -> String {
        match &self.main {
            Main::Session(page) => format!("{} – {}", page.head.name, self.instance),
            Main::New(_) => format!("RemoteLab – {}", self.instance),
        }
    }

    /// The page's own address, relative to the base.
    fn here(&self) -> String {
        match &self.main {
            Main::Session(page) => format!("s/{}", page.head.id),
            Main::New(_) => "./".to_owned(),
        }
    }

    /// Facts for the scripts, safe inside a script element.
    fn data(&self) -> String {
        let words = self.viewer.words();
        json!({
            "instance": self.instance,
            "assets": assets::version(),
            "words": { "client": words.client, "time": words.time },
        })
        .to_string()
        .replace('<', "\\u003c")
    }
}

impl ErrorPage {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn words(&self) -> &'static Words {
        self.language.words()
    }

    fn title(&self) -> &'static str {
        let words = &self.words().error;
        match self.kind {
            ErrorKind::NotFound => &words.not_found,
            ErrorKind::Locked => &words.locked,
            ErrorKind::Broken => &words.broken,
        }
    }

    fn sentence(&self) -> &'static str {
        let words = &self.words().error;
        match self.kind {
            ErrorKind::NotFound => &words.not_found_sentence,
            ErrorKind::Locked => &words.locked_sentence,
            ErrorKind::Broken => &words.broken_sentence,
        }
    }
}
