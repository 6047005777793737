//! Lifecycle of instances: supervisor, guests, links.
