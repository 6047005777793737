//! Who starts instances that sleep. The gateway knows no more of it than this.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

/// What is waited for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Starts instances.
pub trait Supervisor: Debug + Send + Sync {
    /// Returns once an instance listens, which it does at once when it is awake. The error says why it does not.
    fn wake(&self, name: &str) -> Waiting<Result<(), String>>;

    /// Names the instances that sleep; `None` when nobody knows.
    fn asleep(&self) -> Waiting<Option<Vec<String>>>;
}

/// Nobody: every instance is awake, or gone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Supervisor for Alone {
    fn wake(&self, _: &str) -> Waiting<Result<(), String>> {
        Box::pin(std::future::ready(Err("nobody here starts instances".to_owned())))
    }

    fn asleep(&self) -> Waiting<Option<Vec<String>>> {
        Box::pin(std::future::ready(None))
    }
}
