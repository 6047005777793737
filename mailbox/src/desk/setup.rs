//! Setting up: identity, allow-list, the way out, automation.

use remotelab_config::atomic;
use remotelab_config::secret::Secret;
use remotelab_protocol::time::iso_from_ms;
use serde::Serialize;
use serde_json::{Map, json};

use remotelab_config::InstanceName;

use super::{Desk, Error, address};
use crate::allowlist::{Allowlist, BadEntry, Strictness};
use crate::identity::{AddressMode, Identity};
use crate::message::one_line;
use crate::settings::{Automation, DeliveryMode, Outbound, OutboundSummary, Security, SigningKey};

/// `mail init`.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Display name.
    pub name: String,
    /// Part before the `@` of the owner's address.
    pub local_part: String,
    /// Mail domain.
    pub domain: String,
    /// Free text.
    pub description: String,
    /// How guests' addresses are spelt.
    pub instance_address_mode: AddressMode,
    /// Senders that may give work.
    pub allow: Vec<String>,
    /// Domains whose senders may give work.
    pub allow_domains: Vec<String>,
}

/// What `mail init` made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitReport {
    /// The mailbox root.
    pub root_dir: String,
    /// The identity.
    pub identity: Identity,
    /// The allow-list.
    pub allowlist: Allowlist,
    /// The file that holds the token which the edge must present.
    pub bridge_file: String,
}

/// `mail outbound configure-smtp`.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions {
    /// Relay host.
    pub host: String,
    /// Relay port; `None` picks the usual one.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub security: Security,
    /// Login name.
    pub username: Option<String>,
    /// Password; better read from standard input than given as an argument.
    pub password: Option<String>,
    /// Environment variable that holds the password.
    pub password_env: Option<String>,
    /// Fallback sender.
    pub from: Option<String>,
}

/// `mail automation configure`: only what is given changes.
#[derive(Clone, Debug, Default)]
pub struct AutomationChange {
    /// Whether permitted mail is worked on at all.
    pub enabled: Option<bool>,
    /// Whether it runs without review.
    pub allowlist_auto_approve: Option<bool>,
    /// Who is named as the reviewer then.
    pub auto_approve_reviewer: Option<String>,
    /// The owner's chat server.
    pub chat_base_url: Option<String>,
    /// The owner's token file.
    pub auth_file: Option<String>,
    /// Whether answers are mailed back.
    pub delivery_mode: Option<DeliveryMode>,
    /// Working folder of new sessions.
    pub folder: Option<String>,
    /// Executor.
    pub tool: Option<String>,
    /// Sidebar group.
    pub group: Option<String>,
    /// Fallback description.
    pub description: Option<String>,
    /// Session instructions.
    pub system_prompt: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Effort.
    pub effort: Option<String>,
    /// Thinking.
    pub thinking: Option<bool>,
}

impl Desk {
    /// Makes the owner's mailbox. Everything is checked before anything is written.
    ///
    /// # Errors
    /// [`Error::AlreadyInitialised`] when there is one; [`Error::Address`] and [`Error::Entry`] for
    /// bad input.
    pub fn init(&self, options: &InitOptions) -> Result<InitReport, Error> {
        let places = self.places();
        if let Some(identity) = places.identity()? {
            return Err(Error::AlreadyInitialised(identity.address));
        }
        let now = iso_from_ms(self.office.clock.now());
        let identity = identity(options, &now)?;
        let mut allowlist = Allowlist { updated_at: Some(now.clone()), ..Allowlist::default() };
        for entry in options.allow.iter().chain(&options.allow_domains) {
            allowlist.add(entry)?;
        }
        let root = &places.owner_root;
        let mut bridge = places.bridge()?.unwrap_or_default();
        if bridge.cloudflare_webhook_token.is_empty() {
            bridge.provider = "cloudflare_email_worker".to_owned();
            bridge.cloudflare_webhook_token = Secret::random().reveal();
            bridge.rest.insert("emailAddress".to_owned(), json!(identity.address));
            bridge.rest.insert("updatedAt".to_owned(), json!(now));
        }
        if bridge.signing_keys.is_empty() {
            let key = Secret::random().reveal();
            bridge.signing_keys.push(SigningKey { id: "1".to_owned(), key, since: now });
        }
        if bridge.ingress_token.is_empty() {
            bridge.ingress_token = Secret::random().reveal();
        }
        atomic::create_private_dir(root)?;
        atomic::write_json(&root.join("bridge.json"), &bridge)?;
        atomic::write_json(&root.join("allowlist.json"), &allowlist)?;
        // Last: a mailbox is there when its identity is.
        atomic::write_json(&root.join("identity.json"), &identity)?;
        self.office.store(&self.place(None)?)?;
        Ok(InitReport {
            root_dir: root.display().to_string(),
            bridge_file: root.join("bridge.json").display().to_string(),
            identity,
            allowlist,
        })
    }

    /// Reads the allow-list that counts for an instance, `None` being the owner.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable file.
    pub fn allow_list(&self, instance: Option<&InstanceName>) -> Result<Allowlist, Error> {
        Ok(self.places().settings(&self.place(instance)?)?.allowlist)
    }

    /// Adds an address or a domain to the allow-list. A guest without a list of its own gets one that
    /// begins with the owner's.
    ///
    /// # Errors
    /// [`Error::Entry`], [`Error::NoInstance`], or an unwritable file.
    pub fn allow_add(&self, instance: Option<&InstanceName>, entry: &str) -> Result<Allowlist, Error> {
        self.change_allowlist(instance, |allowlist| allowlist.add(entry))
    }

    /// Puts an entry with conditions into the allow-list, in the place of any of the same name.
    ///
    /// # Errors
    /// [`Error::Entry`], [`Error::NoInstance`], or an unwritable file.
    pub fn allow_put(
        &self,
        instance: Option<&InstanceName>,
        entry: &str,
        auth: Strictness,
        until: Option<&str>,
    ) -> Result<Allowlist, Error> {
        self.change_allowlist(instance, |allowlist| allowlist.put(entry, auth, until))
    }

    /// Takes an entry out of the allow-list.
    ///
    /// # Errors
    /// [`Error::Entry`], [`Error::NoInstance`], or an unwritable file.
    pub fn allow_remove(&self, instance: Option<&InstanceName>, entry: &str) -> Result<Allowlist, Error> {
        self.change_allowlist(instance, |allowlist| allowlist.remove(entry).map(|_| ()))
    }

    fn change_allowlist(
        &self,
        instance: Option<&InstanceName>,
        change: impl FnOnce(&mut Allowlist) -> Result<(), BadEntry>,
    ) -> Result<Allowlist, Error> {
        self.must_be_initialised()?;
        let place = self.place(instance)?;
        let mut allowlist = self.places().settings(&place)?.allowlist;
        change(&mut allowlist)?;
        allowlist.updated_at = Some(iso_from_ms(self.office.clock.now()));
        atomic::create_private_dir(&place.root)?;
        atomic::write_json(&place.root.join("allowlist.json"), &allowlist)?;
        Ok(allowlist)
    }

    /// Sets up sending through an SMTP relay, for the owner and all guests without settings of
    /// their own.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Address`], or an unwritable file.
    pub fn configure_smtp(&self, options: SmtpOptions) -> Result<OutboundSummary, Error> {
        self.must_be_initialised()?;
        if options.host.trim().is_empty() || options.host.chars().any(char::is_whitespace) {
            return Err(Error::Option(format!("\"{}\" is no host name", options.host)));
        }
        if let Some(from) = options.from.as_deref().filter(|from| !from.is_empty()) {
            address(from)?;
        }
        let place = self.place(None)?;
        let old = self.places().settings(&place)?.outbound;
        let outbound = Outbound {
            provider: "smtp".to_owned(),
            host: options.host,
            port: options.port.unwrap_or(0),
            security: options.security,
            username: options.username.unwrap_or_default(),
            password: options.password.unwrap_or_default(),
            password_env: options.password_env.unwrap_or_default(),
            from: options.from.unwrap_or_default(),
            ca_file: old.ca_file.clone(),
            fallback: old.fallback.clone(),
            reply_to: old.reply_to.clone(),
            rest: old.rest,
            ..Outbound::default()
        };
        atomic::write_json(&place.root.join("outbound.json"), &outbound)?;
        Ok(self.outbound_summary(&outbound))
    }

    /// Sets up another way out, for the owner and all guests without settings of their own. A fallback and
    /// secrets that are there stay.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Address`], or an unwritable file.
    pub fn configure_outbound(&self, wanted: Outbound) -> Result<OutboundSummary, Error> {
        self.must_be_initialised()?;
        for url in [&wanted.worker_base_url, &wanted.api_base_url] {
            if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(Error::Option(format!("\"{url}\" is no web address")));
            }
        }
        for text in [&wanted.from, &wanted.reply_to] {
            if !text.is_empty() {
                address(text)?;
            }
        }
        let place = self.place(None)?;
        let old = self.places().settings(&place)?.outbound;
        let outbound = Outbound {
            fallback: old.fallback,
            worker_token: old.worker_token,
            api_key: old.api_key,
            rest: old.rest,
            ..wanted
        };
        atomic::write_json(&place.root.join("outbound.json"), &outbound)?;
        Ok(self.outbound_summary(&outbound))
    }

    /// Says how mail leaves.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable file.
    pub fn outbound_status(&self, instance: Option<&InstanceName>) -> Result<OutboundSummary, Error> {
        let settings = self.places().settings(&self.place(instance)?)?;
        Ok(self.outbound_summary(&settings.outbound))
    }

    /// Reads the automation settings that count for an instance.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unreadable file.
    pub fn automation_status(&self, instance: Option<&InstanceName>) -> Result<Automation, Error> {
        Ok(self.places().settings(&self.place(instance)?)?.automation)
    }

    /// Changes automation settings. A guest without its own gets some that begin with the owner's.
    ///
    /// # Errors
    /// [`Error::NoInstance`], or an unwritable file.
    pub fn automation_configure(
        &self,
        instance: Option<&InstanceName>,
        change: AutomationChange,
    ) -> Result<Automation, Error> {
        self.must_be_initialised()?;
        let place = self.place(instance)?;
        let automation = apply(self.places().settings(&place)?.automation, change);
        atomic::create_private_dir(&place.root)?;
        atomic::write_json(&place.root.join("automation.json"), &automation)?;
        Ok(automation)
    }

    pub(super) fn must_be_initialised(&self) -> Result<Identity, Error> {
        self.places().identity()?.ok_or(Error::NotInitialised)
    }

    pub(super) fn outbound_summary(&self, outbound: &Outbound) -> OutboundSummary {
        outbound.summary(|name| self.office.env.get(name).map(str::to_owned))
    }
}

fn identity(options: &InitOptions, now: &str) -> Result<Identity, Error> {
    let identity = Identity {
        name: one_line(&options.name, 100),
        local_part: options.local_part.clone(),
        domain: options.domain.clone(),
        address: String::new(),
        description: options.description.clone(),
        instance_address_mode: options.instance_address_mode,
        rest: Map::from_iter([
            ("createdAt".to_owned(), json!(now)),
            ("updatedAt".to_owned(), json!(now)),
            ("status".to_owned(), json!("local_intake_ready_public_dns_pending")),
        ]),
    }
    .normalised();
    if identity.name.is_empty() {
        return Err(Error::Option("the mailbox needs a name".to_owned()));
    }
    // The local part becomes the stem of every guest's address.
    address(&identity.owner_address())?;
    if identity.local_part.contains('+') {
        return Err(Error::Option("the local part must not contain a +".to_owned()));
    }
    Ok(identity)
}

fn apply(mut automation: Automation, change: AutomationChange) -> Automation {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    set(&mut automation.enabled, change.enabled);
    set(&mut automation.allowlist_auto_approve, change.allowlist_auto_approve);
    set(&mut automation.auto_approve_reviewer, change.auto_approve_reviewer);
    set(&mut automation.chat_base_url, change.chat_base_url);
    set(&mut automation.auth_file, change.auth_file);
    set(&mut automation.delivery_mode, change.delivery_mode);
    let session = &mut automation.session;
    set(&mut session.folder, change.folder);
    set(&mut session.tool, change.tool);
    set(&mut session.group, change.group);
    set(&mut session.description, change.description);
    set(&mut session.system_prompt, change.system_prompt);
    set(&mut session.model, change.model);
    set(&mut session.effort, change.effort);
    set(&mut session.thinking, change.thinking);
    automation
}
