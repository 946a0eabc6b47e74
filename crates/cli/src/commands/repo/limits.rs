//! How much of the packs a check or scrub reads, as it is typed.

use std::str::FromStr;

use backstay_repo::check::{Coverage, Limits, Subset};
use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::output::{ByteSize, positive_size, record_time, size};

#[derive(Args)]
#[command(next_help_heading = "How much to read (bad packs first, then those verified longest ago)")]
pub(super) struct LimitArgs {
    /// Leave out packs that were verified as deep more recently: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    max_age: Option<SignedDuration>,

    /// Begin no more packs after so much time: 1h, 90m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    max_duration: Option<SignedDuration>,

    /// Read at most so many bytes of packs: 100G
    #[arg(long, value_name = "SIZE", value_parser = positive_size)]
    max_bytes: Option<ByteSize>,

    /// Read one part of several (3/7), or the share of all bytes that was verified longest ago (10%)
    #[arg(long, value_name = "N/T|X%")]
    subset: Option<SubsetArg>,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_age: self.max_age,
            max_duration: self.max_duration,
            max_bytes: self.max_bytes.map(|size| size.0),
            subset: self.subset.map(|subset| subset.0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct SubsetArg(Subset);

impl FromStr for SubsetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = || text.strip_suffix('%')?.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
        let part = || {
            let (number, of) = text.split_once('/')?;
            let (number, of): (u64, u64) = (number.parse().ok()?, of.parse().ok()?);
            (1 <= number && number <= of).then_some(Subset::Part { number, of })
        };
        let subset = percent().filter(|percent| *percent > 0.0).map(Subset::Percent).or_else(part);
        subset.map(Self).ok_or_else(|| format!("{text:?} is no part; write 3/7 for the third of seven, or 10%"))
    }
}

fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let duration = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    duration
        .ok()
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| format!("{text:?} is no time; write 30d, 12h or 90m"))
}

/// One line on what was verified when; nothing where nothing ever was.
pub(super) fn coverage_line(coverage: &Coverage) -> Option<String> {
    let oldest = coverage.oldest.as_ref()?;
    let share = |bytes: u64| percent(bytes, coverage.bytes);
    Some(format!(
        "verified at level {}: {} of {} ({} in the last day, {} in the last week, {} in the last 30 days), the oldest {}",
        coverage.level,
        share(coverage.verified_bytes),
        size(coverage.bytes),
        share(coverage.last_day_bytes),
        share(coverage.last_week_bytes),
        share(coverage.last_month_bytes),
        record_time(oldest),
    ))
}

/// Rounded down, so that only all is 100 %.
fn percent(part: u64, whole: u64) -> String {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(100);
    if percent == 0 && part > 0 { "< 1 %".to_owned() } else { format!("{percent} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_shares_are_read_and_nonsense_is_not() {
        let read = |text: &str| text.parse::<SubsetArg>().ok().map(|subset| subset.0);
        assert_eq!(read("3/7"), Some(Subset::Part { number: 3, of: 7 }));
        assert_eq!(read("1/1"), Some(Subset::Part { number: 1, of: 1 }));
        assert_eq!(read("2.5%"), Some(Subset::Percent(2.5)));
        for text in ["", "3", "0/7", "8/7", "1/0", "0%", "101%", "NaN%", "-1%", "%", "1/2/3"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(parse_duration("30d"), Ok(SignedDuration::from_hours(720)));
        assert_eq!(parse_duration("1h30m"), Ok(SignedDuration::from_mins(90)));
        for text in ["", "30", "-1h", "0s", "1y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_all_is_a_hundred_percent() {
        assert_eq!(
            [(0, 0), (0, 5), (1, 1000), (999, 1000), (5, 5)].map(|(part, whole)| percent(part, whole)),
            ["100 %", "0 %", "< 1 %", "99 %", "100 %"]
        );
    }
}
