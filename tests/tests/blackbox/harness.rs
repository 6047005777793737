//! The harness itself: what the other tests trust.

mod browser;
mod smtp;
mod world;
