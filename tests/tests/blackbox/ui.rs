//! A person with a browser.

mod files;
mod foreign;
mod house;
mod keyboard;
mod menu;
mod narrow;
mod pictures;
mod reconnecting;
mod states;
mod writing;
