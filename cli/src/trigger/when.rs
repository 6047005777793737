//! When a trigger is delivered, as people write it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::verb::{Failure, duration};

/// When: after a while, or at a time.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct When {
    /// After this long, like `30s`, `10m`, `2h` or `1d`.
    #[arg(long = "in", value_name = "DURATION", value_parser = duration::parse, conflicts_with = "at")]
    delay: Option<Duration>,
    /// At this time, like `2026-11-22T08:00:00Z`; without a zone in this machine's own, a date alone at
    /// midnight UTC.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The zone of `--at`, like `Europe/Berlin`.
    #[arg(long, value_name = "ZONE", conflicts_with = "delay")]
    tz: Option<String>,
    /// Take a time that has passed; the message is delivered at once.
    #[arg(long)]
    allow_past: bool,
}

impl When {
    /// Tells whether a time was given.
    pub(super) fn is_given(&self) -> bool {
        self.delay.is_some() || self.at.is_some()
    }

    pub(super) fn scheduled_at(&self, now: Timestamp) -> Result<Timestamp, Failure> {
        let Some(at) = &self.at else {
            let delay = self.delay.unwrap_or_default();
            return now.checked_add(delay).map_err(|_| Failure::usage("--in is too long"));
        };
        let at = time(at, self.tz.as_deref())?;
        if at < now && !self.allow_past {
            let message = format!("--at {at} is in the past; add --allow-past to have it delivered at once");
            return Err(Failure::usage(message));
        }
        Ok(at)
    }
}

fn time(text: &str, zone: Option<&str>) -> Result<Timestamp, Failure> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || Failure::usage("--at must be a valid timestamp");
    let date_alone = text.parse::<Date>().ok().filter(|_| text.len() <= 10);
    let civil = match date_alone {
        Some(date) => date.to_datetime(Time::midnight()),
        None => text.parse::<DateTime>().map_err(|_| wrong())?,
    };
    let zone = match zone {
        Some(name) => TimeZone::get(name).map_err(|_| Failure::usage(format!("{name} is no time zone")))?,
        None if date_alone.is_some() => TimeZone::UTC,
        None => TimeZone::system(),
    };
    civil.to_zoned(zone).map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: Option<&str>) -> Result<Timestamp, Failure> {
        let when =
            When { at: Some(text.into()), tz: zone.map(str::to_owned), allow_past: true, ..When::default() };
        when.scheduled_at(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn times_mean_what_they_say() {
        let utc = |text: &str| Ok(text.parse::<Timestamp>().unwrap());
        assert_eq!(at("2026-11-22T08:00:00+01:00", None), utc("2026-11-22T07:00:00Z"));
        assert_eq!(at("2026-11-22", None), utc("2026-11-22T00:00:00Z"));
        assert_eq!(at("2026-11-22T08:00", Some("Asia/Tokyo")), utc("2026-11-21T23:00:00Z"));
        for wrong in ["", "soon", "2026-11-32", "8:00"] {
            assert_eq!(at(wrong, None), Err(Failure::usage("--at must be a valid timestamp")));
        }
        assert!(at("2026-11-22T08:00", Some("Mars/Base")).is_err());
    }

    #[test]
    fn the_past_is_taken_only_when_it_is_meant() {
        let now: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let past =
            |allow_past| When { at: Some("2026-11-22T07:59:00Z".into()), allow_past, ..When::default() };
        assert!(past(false).scheduled_at(now).is_err() && past(true).scheduled_at(now).is_ok());
        let soon = When { delay: Some(Duration::from_secs(90)), ..When::default() };
        assert_eq!(soon.scheduled_at(now).unwrap(), "2026-11-22T08:01:30Z".parse().unwrap());
    }
}
