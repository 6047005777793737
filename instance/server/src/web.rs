//! The page: what a person sees in a browser.
//!
//! Nothing here opens a socket or a file of the instance or reads a clock: values in, HTML out. The texts
//! are in `web/text`, the templates in `web/*.html`, and what the browser loads in `web/css`, `web/js` and
//! `web/icons`.

pub mod assets;
pub mod fragments;
mod icons;
pub mod markdown;
pub mod pages;
mod policy;
pub mod view;
pub mod words;

pub use policy::csp;
pub use words::Language;
