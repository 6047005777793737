//! Black-box tests: real processes, real browser, real executors.
