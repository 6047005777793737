//! Executors: catalogue, adapters, detached runner.
