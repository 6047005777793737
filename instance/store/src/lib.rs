//! The files of one instance, crash-safe.
