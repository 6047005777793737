//! Typed HTTP client of one instance.
