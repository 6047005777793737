//! The wall clock, in the two forms that records use.

use jiff::Timestamp;

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// ISO-8601 UTC with milliseconds.
pub(crate) fn now_iso() -> String {
    remotelab_protocol::time::iso(Timestamp::now())
}
