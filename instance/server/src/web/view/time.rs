//! Times as people read them.

use jiff::{Timestamp, Zoned};

use super::Viewer;
use crate::web::words::{Words, fill};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A time on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// For machines: ISO-8601 UTC.
    pub iso: String,
    /// For people.
    pub text: String,
}

impl Time {
    /// How long ago: `5 min`, `3 d`, then the date.
    pub(crate) fn ago(unix_ms: i64, viewer: &Viewer) -> Self {
        let at = timestamp(unix_ms);
        let words = &viewer.words().time;
        let seconds = viewer.now.as_second() - at.as_second();
        let number = |text: &str, n: i64| fill(text, &[("n", &n.to_string())]);
        let text = match seconds {
            ..MINUTE => words.now.clone(),
            MINUTE..HOUR => number(&words.minutes, seconds / MINUTE),
            HOUR..DAY => number(&words.hours, seconds / HOUR),
            _ if seconds < 7 * DAY => number(&words.days, seconds / DAY),
            _ => at.to_zoned(viewer.zone.clone()).strftime("%Y-%m-%d").to_string(),
        };
        Self { iso: remotelab_protocol::time::iso(at), text }
    }

    /// The hour and minute of the day.
    pub(crate) fn clock(unix_ms: i64, viewer: &Viewer) -> Self {
        let at = timestamp(unix_ms);
        Self {
            iso: remotelab_protocol::time::iso(at),
            text: at.to_zoned(viewer.zone.clone()).strftime("%H:%M").to_string(),
        }
    }

    /// The day, for a line between two days.
    pub(crate) fn day(unix_ms: i64, viewer: &Viewer) -> Self {
        let at = timestamp(unix_ms);
        let date = at.to_zoned(viewer.zone.clone()).date();
        let today = now(viewer).date();
        let words = &viewer.words().list;
        let text = if date == today {
            words.today.clone()
        } else if today.yesterday().is_ok_and(|yesterday| date == yesterday) {
            words.yesterday.clone()
        } else {
            date.to_string()
        };
        Self { iso: remotelab_protocol::time::iso(at), text }
    }
}

/// Which part of the list a time belongs to: 0 today, 1 yesterday, 2 the last week, 3 before.
pub(crate) fn age(unix_ms: i64, viewer: &Viewer) -> usize {
    let today = now(viewer).date();
    let date = timestamp(unix_ms).to_zoned(viewer.zone.clone()).date();
    match today.since(date).map_or(i32::MAX, |span| span.get_days()) {
        ..=0 => 0,
        1 => 1,
        2..=7 => 2,
        _ => 3,
    }
}

/// Which day a time is on, to tell where a day ends.
pub(crate) fn date(unix_ms: i64, viewer: &Viewer) -> jiff::civil::Date {
    timestamp(unix_ms).to_zoned(viewer.zone.clone()).date()
}

/// A length of time: `42 s`, `3 min`, `1 h 5 min`.
pub(crate) fn length(ms: i64, words: &Words) -> String {
    let seconds = ms / 1000;
    let number = |text: &str, n: i64| fill(text, &[("n", &n.to_string())]);
    match seconds {
        ..MINUTE => number(&words.length.seconds, seconds.max(1)),
        MINUTE..HOUR => number(&words.length.minutes, seconds / MINUTE),
        _ => fill(
            &words.length.hours,
            &[("h", &(seconds / HOUR).to_string()), ("m", &(seconds % HOUR / MINUTE).to_string())],
        ),
    }
}

fn timestamp(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn now(viewer: &Viewer) -> Zoned {
    viewer.now.to_zoned(viewer.zone.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Language;
    use jiff::tz::{TimeZone, offset};

    fn viewer(language: Language) -> Viewer {
        Viewer { language, now: "2026-11-22T11:00:00Z".parse().unwrap(), zone: TimeZone::fixed(offset(8)) }
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn times_read_well_at_any_distance() {
        let cases = [
            ("2026-11-22T10:59:30Z", "now", "18:59", "Today", 0),
            ("2026-11-22T10:20:00Z", "40 min", "18:20", "Today", 0),
            ("2026-11-21T15:30:00Z", "19 h", "23:30", "Yesterday", 1),
            ("2026-11-19T10:00:00Z", "3 d", "18:00", "2026-11-19", 2),
            ("2026-10-01T20:00:00Z", "2026-10-02", "04:00", "2026-10-02", 3),
            ("2026-11-22T12:00:00Z", "now", "20:00", "Today", 0),
        ];
        let viewer = viewer(Language::English);
        for (text, ago, clock, day, group) in cases {
            let at = ms(text);
            assert_eq!(
                (
                    Time::ago(at, &viewer).text.as_str(),
                    Time::clock(at, &viewer).text.as_str(),
                    Time::day(at, &viewer).text.as_str(),
                    age(at, &viewer)
                ),
                (ago, clock, day, group),
                "{text}"
            );
        }
        assert_eq!(Time::ago(i64::MAX, &viewer).iso, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn lengths_read_well() {
        let words = Language::Chinese.words();
        assert_eq!(
            [900, 42_000, 190_000, 3_900_000].map(|ms| length(ms, words)),
            ["1 秒", "42 秒", "3 分钟", "1 小时 5 分钟"]
        );
    }
}
