//! The chat server of one instance.
