//! Cutting time into periods.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A kind of period. Minutes and hours are cut in UTC: a clock that is put back shows an hour twice, and both are real. Days and
/// what is longer are cut in a time zone, because people mean theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Minute,
    Hour,
    Day,
    /// Of ISO 8601: from Monday, and its year is the one that has its Thursday.
    Week,
    Month,
    Year,
}

impl Period {
    /// All, from short to long.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// How often a snapshot of each is kept: `daily`.
    pub fn adverb(self) -> &'static str {
        match self {
            Self::Minute => "minutely",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The name of the period that the time lies in. Two times lie in one period exactly if these are equal.
    pub fn name_of(self, time: Timestamp, zone: &TimeZone) -> String {
        let local = || zone.to_datetime(time);
        match self {
            Self::Minute => TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%dT%H:%MZ").to_string(),
            Self::Hour => TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%dT%HZ").to_string(),
            Self::Day => local().strftime("%Y-%m-%d").to_string(),
            Self::Week => {
                let week = local().date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => local().strftime("%Y-%m").to_string(),
            Self::Year => local().strftime("%Y").to_string(),
        }
    }
}
