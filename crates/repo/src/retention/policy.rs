//! What somebody asks to be kept.

use std::borrow::Cow;

use jiff::Span;
use jiff::tz::TimeZone;

use super::period::Period;

/// What is kept; everything else that a decision looks at is forgotten.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Each on its own: what one keeps counts in the others too.
    pub rules: Vec<Rule>,
    /// What has expired goes, whatever the rules say.
    pub expired: bool,
    /// So many of the newest accepted snapshots of each source stay, expired or not. The newest one always does.
    pub at_least: u32,
    /// Where days, weeks, months and years are cut.
    pub zone: TimeZone,
}

impl Policy {
    /// Whether it asks for nothing: whoever runs it has forgotten to say what to keep.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.expired
    }
}

/// One reason to keep snapshots of a source.
#[derive(Debug, Clone)]
pub enum Rule {
    /// The newest so many.
    Last(u32),
    /// The newest of each period, of the newest so many periods that have any.
    Newest { period: Period, count: u32 },
    /// All that are younger than this, seen from the newest one.
    Within(Span),
    /// The newest of each period, among those that are younger than this, seen from the newest one.
    NewestWithin { period: Period, span: Span },
    /// All with every one of these tags.
    Tags(Vec<String>),
}

impl Rule {
    /// As its option is called, without `--keep-`.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Last(_) => "last".into(),
            Self::Newest { period, .. } => period.adverb().into(),
            Self::Within(_) => "within".into(),
            Self::NewestWithin { period, .. } => format!("within-{}", period.adverb()).into(),
            Self::Tags(_) => "tag".into(),
        }
    }
}
