//! The `remotelab` binary: parse, build, run.

mod api;
mod arguments;
mod assistant_message;
mod chat;
mod chosen;
mod completion;
mod doctor;
mod failure;
mod gateway;
mod generate_token;
mod guest_instance;
mod help_run;
mod logging;
mod mail;
mod message;
mod output;
mod place;
mod progress;
mod restart;
mod runner;
mod runs;
mod runtime;
mod session_spawn;
mod set_password;
mod setup;
mod shutdown;
mod storage;
mod token;
mod trigger;
mod tunnel;
mod up;
mod usage_summary;
mod verb;
mod version;

use std::process::ExitCode;

use arguments::{Command, Parsed};

fn main() -> ExitCode {
    if let Some(run_dir) = runner::asked_for(std::env::args_os()) {
        return runner::run(&run_dir);
    }
    let outcome = match arguments::parse(std::env::args_os()) {
        Ok(Parsed::Command(command)) => run(*command),
        Ok(Parsed::Text(text)) => output::text(&text).map(|()| ExitCode::SUCCESS),
        Err(usage) => Err(usage.into()),
    };
    outcome.unwrap_or_else(|error| failure::report(&error))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Up(arguments) => up::run(&arguments).map(done),
        Command::Chat => chat::run().map(done),
        Command::Gateway(arguments) => gateway::run(&arguments).map(done),
        Command::Mail(arguments) => mail::run(arguments).map(done),
        Command::GuestInstance(command) => guest_instance::run(command),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Start => restart::start(),
        Command::Stop => restart::stop(),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Tunnel(command) => tunnel::run(&command),
        Command::Api(arguments) => api::run(&arguments),
        Command::AssistantMessage(arguments) => assistant_message::run(&arguments),
        Command::Trigger(arguments) => trigger::run(&arguments),
        Command::SessionSpawn(arguments) => session_spawn::run(&arguments),
        Command::Message(arguments) => message::run(&arguments),
        Command::Run(arguments) => runs::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Storage(arguments) => storage::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::UsageSummary(arguments) => usage_summary::run(&arguments),
        Command::GenerateToken(arguments) => generate_token::run(&arguments),
        Command::SetPassword(arguments) => set_password::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Runner { run_dir } => Ok(runner::run(&run_dir)),
        Command::DemoExecutor => runner::demo().map(done),
    }
}
