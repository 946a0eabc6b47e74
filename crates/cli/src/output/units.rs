//! Numbers as people read and type them.

use std::str::FromStr;

use backstay_format::tree::Time;
use backstay_repo::Clock;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const BINARY_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Three digits and a binary unit: `512 B`, `1.50 KiB`, `23.4 MiB`, `117 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for name in BINARY_UNITS {
        value /= 1024.0;
        unit = name;
        // What would be shown as 1000 goes to the next unit.
        if value < 999.5 {
            break;
        }
    }
    let decimals = usize::from(value < 9.995) + usize::from(value < 99.95);
    format!("{value:.decimals$} {unit}")
}

/// Digits in groups of three.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2,000 files`.
pub(crate) fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..=9 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time between two moments in its largest unit: `45s`, `12m`, `3h`, `5d`, `2y`. Nothing where the later one is earlier.
pub(crate) fn age(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs();
    match seconds {
        ..0 => "-".to_owned(),
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        172_800..=63_071_999 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// A moment as it is typed: RFC 3339, a date (its end, UTC), or an age.
pub(crate) fn point_in_time(text: &str) -> Result<Timestamp, String> {
    point_in_time_at(text, Clock::system().now())
}

fn point_in_time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || format!("{text:?} is no time; write 2026-03-04T05:06:07Z, 2026-03-04, or an age: 90m, 2h, 7d, 3w");
    if let Ok(date) = text.parse::<Date>() {
        let end = date.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC)).map_err(|_| wrong())?;
        return end.timestamp().checked_sub(SignedDuration::from_nanos(1)).map_err(|_| wrong());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let age = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or_else(wrong)?;
    now.checked_sub(SignedDuration::from_secs(age)).map_err(|_| wrong())
}

/// How many times as much: `3.2x`.
pub(crate) fn ratio(large: u64, small: u64) -> String {
    if small == 0 { "-".to_owned() } else { format!("{:.2}x", large as f64 / small as f64) }
}

/// A record's time without its fraction: `2026-11-25 13:24:08Z`. What is no such time is shown as it is.
pub(crate) fn record_time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => timestamp(time),
        Err(_) => super::escape(text).into_owned(),
    }
}

/// A file's time, UTC, to the second.
pub(crate) fn item_time(time: Time) -> String {
    let timestamp_of = |time: Time| Timestamp::new(time.seconds, i32::try_from(time.nanoseconds).ok()?).ok();
    timestamp_of(time).map_or_else(|| format!("@{}", time.seconds), timestamp)
}

/// A file's time, RFC 3339 with all nanoseconds; nothing where the calendar does not reach.
pub(crate) fn item_time_exact(time: Time) -> Option<String> {
    let timestamp = Timestamp::new(time.seconds, i32::try_from(time.nanoseconds).ok()?).ok()?;
    Some(format!("{timestamp:.9}"))
}

fn timestamp(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A number of bytes as it is typed: `512`, `64K`, `10M`, `1.5GiB`. Units are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no size; write a number of bytes, or one with K, M, G or T (powers of 1024): 10M");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start().to_ascii_lowercase();
        let power = match unit.strip_suffix("ib").unwrap_or(&unit) {
            "" if unit.is_empty() => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * 1024f64.powi(power);
        // 2^53: beyond it not every number of bytes can be said.
        if bytes.is_finite() && bytes <= 9e15 { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

/// A rate or a budget, where nothing at all would mean waiting for ever.
pub(crate) fn positive_size(text: &str) -> Result<ByteSize, String> {
    match text.parse()? {
        ByteSize(0) => Err("0 bytes are too few".to_owned()),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_230, "9.99 KiB"),
            (10_240, "10.0 KiB"),
            (1_023_487, "999 KiB"),
            (1_023_488, "0.98 MiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn typed_sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64K", 65_536), ("10m", 10 << 20), ("1.5GiB", 3 << 29), ("2 T", 2 << 40)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "M", "10MB", "-1", "1e3", "ten", "ib", "99999999T", "10M/s"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_typed_as_times_dates_or_ages() {
        let now: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-04T05:06:07Z", "2026-03-04T05:06:07Z"),
            ("2026-03-04T05:06:07+02:00", "2026-03-04T03:06:07Z"),
            ("2026-03-03", "2026-03-03T23:59:59.999999999Z"),
            ("90m", "2026-03-04T10:30:00Z"),
            ("2h", "2026-03-04T10:00:00Z"),
            ("7d", "2026-02-25T12:00:00Z"),
        ] {
            assert_eq!(point_in_time_at(text, now).map(|it| it.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "h", "2", "2x", "-2h", "yesterday", "99999999999999999999d", "9999999999999w"] {
            assert!(point_in_time_at(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
        for (seconds, text) in
            [(-1, "-"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d"), (63_072_000, "2y")]
        {
            assert_eq!(age(now - SignedDuration::from_secs(seconds), now), text);
        }
    }

    #[test]
    fn counts_are_grouped_and_durations_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 40, 4_250, 59_999, 200_000, 7_500_000].map(duration),
            ["0 ms", "40 ms", "4.2 s", "59 s", "3 min 20 s", "2 h 5 min"]
        );
    }

    #[test]
    fn times_are_utc_and_strange_ones_are_shown_all_the_same() {
        assert_eq!(record_time("2026-11-25T13:24:08.123Z"), "2026-11-25 13:24:08Z");
        assert_eq!(record_time("nonsense"), "nonsense");
        assert_eq!(item_time(Time { seconds: 0, nanoseconds: 5 }), "1970-01-01 00:00:00Z");
        assert_eq!(item_time(Time { seconds: i64::MAX, nanoseconds: 0 }), format!("@{}", i64::MAX));
        assert_eq!(item_time_exact(Time { seconds: -1, nanoseconds: 5 }).unwrap(), "1969-12-31T23:59:59.000000005Z");
    }
}
