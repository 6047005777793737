//! Who is asking: owner token, password, login cookies.

pub(crate) mod bearer;
pub(crate) mod caller;
pub(crate) mod cookie;
pub(crate) mod enter;
pub(crate) mod handoff;
pub(crate) mod lockout;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use remotelab_config::auth::Auth as AuthFile;
use remotelab_config::chat::Settings;
use remotelab_config::run_tokens::RunTokens;
use remotelab_config::{atomic, password};
use remotelab_store::handoffs::Handoffs;
use remotelab_store::logins::{Login, Logins};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::clock::now_ms;
use crate::outside::Outside;
use bearer::Bearers;
use enter::Links;
use lockout::Lockout;

/// Sign-in and the logins it made.
#[derive(Debug)]
pub(crate) struct Auth {
    settings: Settings,
    logins: Logins,
    handoffs: Handoffs,
    links: Links,
    lockout: Mutex<Lockout>,
    passwords: Semaphore,
    bearers: Bearers,
    run_tokens: RunTokens,
    ended: watch::Sender<()>,
}

/// What somebody presents to sign in.
#[derive(Debug)]
pub(crate) enum Credentials {
    Token(String),
    Password { username: String, password: String },
}

/// How a sign-in ended.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// The value of a `Set-Cookie` header for the new login.
    Granted(String),
    Refused,
    LockedOut,
    /// The login could not be stored.
    Failed(atomic::Error),
}

/// An owner who has signed in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) preferred_language: String,
    /// Whether the login is past half of its life.
    pub(crate) is_due: bool,
}

impl Auth {
    pub(crate) fn open(settings: &Settings, run_tokens: RunTokens) -> Self {
        Self {
            logins: Logins::open(&settings.paths.auth_sessions(), now_ms()),
            handoffs: Handoffs::open(&settings.paths.install_handoffs(), now_ms()),
            links: Links::open(&settings.paths),
            bearers: Bearers::open(&settings.paths),
            run_tokens,
            settings: settings.clone(),
            lockout: Mutex::new(Lockout::default()),
            passwords: Semaphore::new(1),
            ended: watch::Sender::default(),
        }
    }

    /// The scoped tokens.
    pub(crate) fn bearers(&self) -> &Bearers {
        &self.bearers
    }

    /// What runs sign in with.
    pub(crate) fn run_tokens(&self) -> &RunTokens {
        &self.run_tokens
    }

    /// Waits until no other password is being checked.
    pub(crate) async fn password_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.passwords.acquire().await.ok()
    }

    /// Checks credentials and opens a login. Blocks: it reads `auth.json` anew, so that a changed token needs no
    /// restart, and may hash a password.
    pub(crate) fn sign_in(&self, credentials: &Credentials, outside: &Outside) -> SignIn {
        let client = outside.client.as_str();
        // All programs of this machine are one client. Guesses of one must not lock the others out, and nobody
        // guesses a token; a password is another matter.
        let passes = matches!(credentials, Credentials::Token(_)) && outside.is_local;
        let is_locked = self.lockout().is_locked(client, now_ms());
        if is_locked && !passes {
            return SignIn::LockedOut;
        }
        if !self.verify(credentials) {
            if is_locked {
                return SignIn::LockedOut;
            }
            self.lockout().failed(client, now_ms());
            return SignIn::Refused;
        }
        if !is_locked {
            self.lockout().succeeded(client);
        }
        match self.logins.create(now_ms() + self.expiry_ms()) {
            Ok(cookie) => SignIn::Granted(self.login_cookie(&cookie.reveal())),
            Err(error) => SignIn::Failed(error),
        }
    }

    /// Returns the owner whose cookie a `Cookie` header carries.
    pub(crate) fn owner(&self, cookies: &str) -> Option<Owner> {
        let value = cookie::find(cookies, cookie::OWNER)?;
        let login = self.logins.find(value, now_ms()).filter(|login| login.role == "owner")?;
        if !self.links.admit(&login) {
            return None;
        }
        let is_due = self.is_due(&login);
        Some(Owner { preferred_language: login.preferred_language, is_due })
    }

    /// Renews a login that is past half of its life; returns the `Set-Cookie` value then. Blocks.
    pub(crate) fn renew(&self, cookies: &str) -> Option<String> {
        let value = cookie::find(cookies, cookie::OWNER)?;
        let login: Login = self.logins.find(value, now_ms())?;
        if !self.is_due(&login) {
            return None;
        }
        self.logins.renew(value, now_ms() + self.expiry_ms()).ok()?;
        Some(self.login_cookie(value))
    }

    fn is_due(&self, login: &Login) -> bool {
        let half = self.settings.session_expiry / 2;
        let threshold = half.max(Duration::from_mins(1)).min(Duration::from_hours(12));
        login.expiry - now_ms() <= ms(threshold)
    }

    /// Ends the login of a `Cookie` header. Blocks.
    pub(crate) fn sign_out(&self, cookies: &str) {
        for name in [cookie::OWNER, cookie::VISITOR] {
            if let Some(value) = cookie::find(cookies, name)
                && let Err(error) = self.logins.remove(value)
            {
                tracing::warn!(%error, "cannot store a sign-out");
            }
        }
        self.say_ended();
    }

    /// Changes whenever a login or token was ended here, for connections that stay open.
    pub(crate) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// Makes open connections look whether they are still let in.
    pub(crate) fn say_ended(&self) {
        self.ended.send_replace(());
    }

    fn verify(&self, credentials: &Credentials) -> bool {
        let stored = match AuthFile::load(&self.settings.paths.auth()) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "nobody can sign in");
                return false;
            }
        };
        match credentials {
            Credentials::Token(token) => stored.token.matches(token),
            Credentials::Password { username, password } => match stored.login {
                // The hash is computed for a wrong name too, so that time does not tell names apart.
                Some(login) => {
                    let right = password::verify(password, &login.password_hash);
                    right & constant_time_eq(username, &login.username)
                }
                None => false,
            },
        }
    }

    /// Tells whether somebody presents the owner's token. Blocks.
    fn is_owners(&self, presented: &str) -> bool {
        self.verify(&Credentials::Token(presented.to_owned()))
    }

    fn login_cookie(&self, value: &str) -> String {
        cookie::set(cookie::OWNER, value, self.settings.session_expiry, self.settings.secure_cookies)
    }

    fn expiry_ms(&self) -> i64 {
        ms(self.settings.session_expiry)
    }

    fn lockout(&self) -> std::sync::MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn constant_time_eq(a: &str, b: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(a.as_bytes(), b.as_bytes()).into()
}
