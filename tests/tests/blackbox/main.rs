//! The black-box tests, one binary so that they link once.

mod executors;
mod harness;
