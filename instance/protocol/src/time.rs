//! Times as the wire and the files write them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Writes a time as ISO-8601 UTC with milliseconds, `2026-11-22T07:26:39.203Z`.
#[must_use]
pub fn iso(time: Timestamp) -> String {
    static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    PRINTER.timestamp_to_string(&time)
}

/// Reads an ISO-8601 time with any offset; `None` when the text is not one.
#[must_use]
pub fn parse_iso(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Writes Unix milliseconds as [`iso`]; times outside jiff's range become the epoch.
#[must_use]
pub fn iso_from_ms(unix_ms: i64) -> String {
    iso(Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_milliseconds() {
        let text = "2026-11-22T07:26:39.203Z";
        assert_eq!(iso(parse_iso(text).unwrap()), text);
        assert_eq!(iso_from_ms(0), "1970-01-01T00:00:00.000Z");
    }
}
