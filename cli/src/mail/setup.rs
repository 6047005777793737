//! Setting a mailbox up: identity, allow-list, relay, automation.

use remotelab_mailbox::{
    AddressMode, AutomationChange, DeliveryMode, Desk, InitOptions, Security, SmtpOptions, Strictness,
};

use super::Instance;
use crate::{output, set_password};

/// Make the owner's mailbox.
///
/// It gives the owner and every guest an address, and draws the token with which the mail provider's
/// worker proves itself to the bridge.
#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The name that answers come from.
    #[arg(long)]
    name: String,
    /// The part before the `@` of the owner's address.
    #[arg(long)]
    local_part: String,
    /// The mail domain.
    #[arg(long)]
    domain: String,
    /// A note for the operator.
    #[arg(long, default_value = "")]
    description: String,
    /// How guests' addresses are spelt: `plus` (`rowan+trial1@…`) or `local_part` (`trial1@…`).
    #[arg(long, default_value = "plus", value_name = "MODE")]
    instance_address_mode: String,
    /// An address whose mail may become work; may be repeated.
    #[arg(long, value_name = "EMAIL")]
    allow: Vec<String>,
    /// A domain whose mail may become work; may be repeated.
    #[arg(long, value_name = "DOMAIN")]
    allow_domain: Vec<String>,
}

/// One command about the allow-list.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Allow {
    /// Add an address or a domain.
    Add {
        /// With an `@` an address, without one a domain; `*.` before a domain: all that is below it.
        entry: String,
        /// The day on which it ends, as `2027-01-31`.
        #[arg(long, value_name = "DAY")]
        until: Option<String>,
        /// Whether the sender must be proved: `required`, or `relaxed`, with which all its mail waits for
        /// review.
        #[arg(long, value_name = "WHETHER", value_parser = strictness)]
        auth: Option<Strictness>,
        #[command(flatten)]
        instance: Instance,
    },
    /// Take an entry out.
    Remove {
        /// The entry as the list shows it.
        entry: String,
        #[command(flatten)]
        instance: Instance,
    },
    /// Print the list.
    List {
        #[command(flatten)]
        instance: Instance,
    },
}

/// One command about sending.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Outbound {
    /// Print how mail leaves.
    Status {
        #[command(flatten)]
        instance: Instance,
    },
    ConfigureSmtp(Smtp),
    ConfigureCloudflareWorker(Worker),
    ConfigureResendApi(Resend),
}

/// Send through an SMTP relay, for the owner and all guests.
#[derive(Debug, clap::Args)]
pub(super) struct Smtp {
    /// The relay's host name.
    #[arg(long)]
    host: String,
    /// Its port; by default the usual one for the protection.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected: `starttls`, `tls` or `none`.
    #[arg(long, default_value = "starttls", value_parser = security)]
    security: Security,
    /// The login name.
    #[arg(long)]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
    /// The environment variable that holds the password.
    #[arg(long, value_name = "NAME", conflicts_with = "password_stdin")]
    password_env: Option<String>,
    /// The sender, where a mail has no other.
    #[arg(long, value_name = "EMAIL")]
    from: Option<String>,
}

/// Send through the Email Worker, for the owner and all guests.
#[derive(Debug, clap::Args)]
pub(super) struct Worker {
    /// The Worker's address.
    #[arg(long, value_name = "URL")]
    worker_base_url: String,
    /// The environment variable that holds the Worker's token.
    #[arg(long, value_name = "NAME")]
    worker_token_env: Option<String>,
    /// The sender, where a mail has no other.
    #[arg(long, value_name = "EMAIL")]
    from: Option<String>,
}

/// Send through an API of Resend's kind, for the owner and all guests.
#[derive(Debug, clap::Args)]
pub(super) struct Resend {
    /// Where the API is, when it is not Resend's own.
    #[arg(long, value_name = "URL")]
    api_base_url: Option<String>,
    /// The environment variable that holds the key.
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// Where answers go, when a letter does not say.
    #[arg(long, value_name = "EMAIL")]
    reply_to: Option<String>,
    /// The sender, where a mail has no other.
    #[arg(long, value_name = "EMAIL")]
    from: Option<String>,
}

/// One command about automation.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Automation {
    /// Print what is done with mail.
    Status {
        #[command(flatten)]
        instance: Instance,
    },
    Configure(Box<Change>),
}

/// Change what is done with mail; only what is given changes.
#[derive(Debug, clap::Args)]
pub(super) struct Change {
    /// Whether mail that is let in is worked on at all.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    enabled: Option<bool>,
    /// Whether it is worked on without review.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    allowlist_auto_approve: Option<bool>,
    /// Who is named as the reviewer then.
    #[arg(long, value_name = "NAME")]
    auto_approve_reviewer: Option<String>,
    /// The address of the chat server.
    #[arg(long, value_name = "URL")]
    chat_base_url: Option<String>,
    /// The token file of the chat server.
    #[arg(long, value_name = "PATH")]
    auth_file: Option<String>,
    /// Whether answers are mailed back: `reply_email` or `session_only`.
    #[arg(long, value_name = "MODE", value_parser = delivery_mode)]
    delivery_mode: Option<DeliveryMode>,
    /// The working folder of new sessions.
    #[arg(long, value_name = "PATH")]
    folder: Option<String>,
    /// The executor.
    #[arg(long)]
    tool: Option<String>,
    /// The group of new sessions.
    #[arg(long)]
    group: Option<String>,
    /// The description of sessions that have none of their own.
    #[arg(long)]
    description: Option<String>,
    /// Instructions for new sessions.
    #[arg(long, value_name = "TEXT")]
    system_prompt: Option<String>,
    /// The model.
    #[arg(long)]
    model: Option<String>,
    /// The effort.
    #[arg(long)]
    effort: Option<String>,
    /// Whether the executor thinks at length.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    thinking: Option<bool>,
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn init(desk: &Desk, init: Init) -> anyhow::Result<()> {
    let report = desk.init(&InitOptions {
        name: init.name,
        local_part: init.local_part,
        domain: init.domain,
        description: init.description,
        instance_address_mode: AddressMode::parse(&init.instance_address_mode),
        allow: init.allow,
        allow_domains: init.allow_domain,
    })?;
    output::remark(&format!("The token for the edge is in {}", report.bridge_file));
    output::json(&report)
}

pub(super) fn allow(desk: &Desk, allow: &Allow) -> anyhow::Result<()> {
    output::json(&match allow {
        Allow::Add { entry, until: None, auth: None, instance } => {
            desk.allow_add(instance.name()?.as_ref(), entry)?
        }
        Allow::Add { entry, until, auth, instance } => {
            let auth = auth.unwrap_or_default();
            desk.allow_put(instance.name()?.as_ref(), entry, auth, until.as_deref())?
        }
        Allow::Remove { entry, instance } => desk.allow_remove(instance.name()?.as_ref(), entry)?,
        Allow::List { instance } => desk.allow_list(instance.name()?.as_ref())?,
    })
}

pub(super) fn outbound(desk: &Desk, outbound: Outbound) -> anyhow::Result<()> {
    output::json(&match outbound {
        Outbound::Status { instance } => desk.outbound_status(instance.name()?.as_ref())?,
        Outbound::ConfigureSmtp(smtp) => desk.configure_smtp(SmtpOptions {
            host: smtp.host,
            port: smtp.port,
            security: smtp.security,
            username: smtp.username,
            password: smtp.password_stdin.then(set_password::from_stdin).transpose()?,
            password_env: smtp.password_env,
            from: smtp.from,
        })?,
        Outbound::ConfigureCloudflareWorker(worker) => {
            desk.configure_outbound(remotelab_mailbox::Outbound {
                provider: "cloudflare_worker".to_owned(),
                worker_base_url: worker.worker_base_url,
                worker_token_env: worker.worker_token_env.unwrap_or_default(),
                from: worker.from.unwrap_or_default(),
                ..Default::default()
            })?
        }
        Outbound::ConfigureResendApi(resend) => desk.configure_outbound(remotelab_mailbox::Outbound {
            provider: "resend_api".to_owned(),
            api_base_url: resend.api_base_url.unwrap_or_default(),
            api_key_env: resend.api_key_env.unwrap_or_default(),
            reply_to: resend.reply_to.unwrap_or_default(),
            from: resend.from.unwrap_or_default(),
            ..Default::default()
        })?,
    })
}

pub(super) fn automation(desk: &Desk, automation: Automation) -> anyhow::Result<()> {
    let change = match automation {
        Automation::Status { instance } => {
            return output::json(&desk.automation_status(instance.name()?.as_ref())?);
        }
        Automation::Configure(change) => *change,
    };
    let instance = change.instance.name()?;
    let change = AutomationChange {
        enabled: change.enabled,
        allowlist_auto_approve: change.allowlist_auto_approve,
        auto_approve_reviewer: change.auto_approve_reviewer,
        chat_base_url: change.chat_base_url,
        auth_file: change.auth_file,
        delivery_mode: change.delivery_mode,
        folder: change.folder,
        tool: change.tool,
        group: change.group,
        description: change.description,
        system_prompt: change.system_prompt,
        model: change.model,
        effort: change.effort,
        thinking: change.thinking,
    };
    output::json(&desk.automation_configure(instance.as_ref(), change)?)
}

fn strictness(text: &str) -> Result<Strictness, &'static str> {
    Strictness::parse(text).ok_or("it is required or relaxed")
}

fn security(text: &str) -> Result<Security, &'static str> {
    Security::parse(text).ok_or("it is starttls, tls or none")
}

fn delivery_mode(text: &str) -> Result<DeliveryMode, &'static str> {
    DeliveryMode::parse(text).ok_or("it is reply_email or session_only")
}
