//! Durations as people write them: `90s`, `1h30m`, `2w`.

use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Milliseconds of each unit.
const UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 7 * 86_400_000)];

/// Reads a duration, which is positive and at most 366 days.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration; write it like 90s, 10m, 1h30m or 2d");
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, milliseconds) = known.ok_or_else(wrong)?;
        total =
            number.checked_mul(*milliseconds).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[digits + letters..];
    }
    let duration = Duration::from_millis(total);
    if duration.is_zero() {
        return Err(wrong());
    }
    if duration > LONGEST {
        return Err(format!("\"{text}\" is longer than 366 days"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("90s", 90), ("1h30m", 5_400), ("2W", 1_209_600), ("366d", 31_622_400), ("1000ms", 1)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "0s", "5", "1.5h", "-1s", "1h 30m", "3y", "s", "367d", "99999999999999999999d", "5é"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
