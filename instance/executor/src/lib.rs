//! Executors: which ones exist, how each is called, what its output means, and the process that
//! runs one of them apart from the server.
//!
//! * [`catalogue`] knows the tools and finds their programs.
//! * [`shell`] asks the owner's login shell once what it sets.
//! * [`command`] turns a tool and a run's manifest into a [`Launch`] and an environment.
//! * [`contain`] keeps a run to its own instance.
//! * [`launcher`] makes `remotelab` itself available to runs.
//! * [`runner`] starts the detached process that carries a launch out, and tells how it stands.
//! * [`spool`] reads what the executor printed, from any offset.
//! * [`adapter`] turns those lines into events and the end into a verdict. It is deterministic: a
//!   server that restarts replays the spool into a new adapter and is where it was.
//! * [`usage`] adds up what executors used.
//! * [`demo`] is the executor that answers where no real one is installed.
//!
//! A run through all of them:
//!
//! ```text
//! let shell = login_shell.and_then(|shell| shell.env());  // blocks the first time
//! let tool = catalogue.find(&manifest.tool)?;
//! let program = catalogue.resolve(&tool.command);
//! let context = Context::new(…).with_shell(shell).with_shared_tool(catalogue.shared_tool(&tool.id));
//! command::launch(&tool, program, &manifest, &context).write(&run_dir)?;
//! let env = command::environment(&tool, &manifest, &base_env, &context);
//! runner::spawn(&remotelab, &run_dir, &env)?;          // in a tokio runtime; the child may be dropped
//!
//! let mut adapter = Adapter::for_tool(&tool);
//! let mut reader = SpoolReader::open(&run_dir, 0);
//! for record in reader.read_new(1 << 20)? {
//!     let parsed = adapter.line(record.stream, &record.line);   // append parsed.events
//! }
//! if let Settled::Ended(result) = runner::settle(&run_dir, cancel_requested)? {
//!     let parsed = adapter.finish(&result);            // after the spool is read to its end
//! }
//! ```

pub mod adapter;
pub mod catalogue;
pub mod cgroup;
pub mod command;
pub mod contain;
pub mod demo;
mod dialect;
pub mod failure;
pub mod launch;
pub mod launcher;
pub mod runner;
pub mod shell;
pub mod spool;
pub mod usage;

pub use adapter::{Adapter, Parsed, Partial};
pub use catalogue::Catalogue;
pub use launch::{Download, Launch};
pub use launcher::Launcher;
pub use shell::LoginShell;
pub use spool::{Record, SpoolReader, Stream};
