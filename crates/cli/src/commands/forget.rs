//! `backstay forget`

use std::io::Write;
use std::sync::Arc;

use backstay_format::log::SnapshotRecord;
use backstay_repo::retention::{Gone, Judged, Kept, Period, Policy, Rule, Verdict};
use backstay_repo::{RepoError, Repository, Selection};
use clap::Args;
use jiff::Span;
use jiff::tz::TimeZone;

use super::SelectionArgs;
use super::backup::parse_age;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::documents::{ForgetDocument, JudgedDocument, ReasonDocument, SnapshotDocument};
use crate::output::{Align, Format, Table, counted, record_time, short};
use crate::selector::{find_forgotten, find_snapshot};

/// Forget snapshots that a policy does not keep, or those that are named
///
/// Each source is judged by itself. A snapshot that any of the rules keeps stays. So does what is held (`backstay hold`), what was
/// made with --ttl until that time has come, and the newest accepted snapshot of each source. Flagged snapshots, unfinished ones and those that are
/// dated in the future take no place of others. What is forgotten is not listed any more; its space comes back when a collection has run, and
/// until then --undo lists it again.
#[derive(Args)]
pub(crate) struct ForgetArgs {
    /// Forget these, by the starts of their ids, in place of a policy
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,

    /// Forget named snapshots even if they are the newest accepted ones of their sources
    #[arg(long, requires = "snapshots", conflicts_with = "undo")]
    force: bool,

    /// List the named snapshots again, which were forgotten
    #[arg(long, requires = "snapshots", conflicts_with = "dry_run")]
    undo: bool,

    /// Undo in a store that cannot create an object only if it is absent. Says that no other process uses the repository,
    /// and that none that ran before will go on
    #[arg(long, requires = "undo")]
    exclusive: bool,

    /// Only say what would be forgotten, and which rules keep the others
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Policy (N is a number, or `all`)")]
struct PolicyArgs {
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_last: Option<u32>,

    /// Keep the newest snapshot of each of the newest N minutes that have any
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_minutely: Option<u32>,

    /// The same for hours. Minutes and hours are those of UTC
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_hourly: Option<u32>,

    /// The same for days, from midnight to midnight in --zone
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_daily: Option<u32>,

    /// The same for weeks, from Monday (ISO 8601)
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_weekly: Option<u32>,

    /// The same for months
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_monthly: Option<u32>,

    /// The same for years
    #[arg(long, value_name = "N", value_parser = parse_count)]
    keep_yearly: Option<u32>,

    /// Keep all snapshots younger than this, such as 30d or 1y6mo, seen from the newest one of the source
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within: Option<Span>,

    /// Keep the newest of each hour, of those younger than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within_hourly: Option<Span>,

    /// Keep the newest of each day, of those younger than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within_daily: Option<Span>,

    /// Keep the newest of each week, of those younger than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within_weekly: Option<Span>,

    /// Keep the newest of each month, of those younger than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within_monthly: Option<Span>,

    /// Keep the newest of each year, of those younger than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    keep_within_yearly: Option<Span>,

    /// Keep all with this tag; `a,b` means both; may be repeated
    #[arg(long, value_name = "TAG[,TAG]")]
    keep_tag: Vec<String>,

    /// Forget what has expired (--ttl of the backup), whatever the rules say
    #[arg(long)]
    expired: bool,

    /// Leave at least the newest N accepted snapshots of each source
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    keep_at_least: u32,

    /// Time zone in which days, weeks, months and years are cut, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    zone: TimeZone,
}

pub(crate) fn run(context: &Context, args: &ForgetArgs) -> Result<Exit> {
    let policy = args.policy.policy();
    let selection = args.selection.selection();
    if !args.snapshots.is_empty() {
        if !policy.is_empty() {
            return Err(Failure::usage("snapshots are named, and a policy is given").with_hint(
                "leave out the one or the other; `backstay hold SNAPSHOT --reason NAME` keeps one from every policy",
            ));
        }
        let repository = context.open()?;
        return if args.undo {
            let repository = if args.exclusive { repository.exclusive() } else { repository };
            undo(context, &repository, &args.snapshots, &selection)
        } else {
            forget_named(context, &repository, args, &selection)
        };
    }
    if policy.is_empty() {
        return Err(Failure::usage("what is to be kept is not said").with_hint(
            "give at least one rule, such as --keep-daily 7 or --keep-within 30d, or --expired, or name snapshots; --dry-run shows what would go",
        ));
    }
    let repository = context.open()?;
    let outcome = repository.forget_by_policy(&policy, &selection, args.dry_run)?;
    print(context, args.dry_run, &outcome.judged)
}

fn forget_named(context: &Context, repository: &Repository, args: &ForgetArgs, selection: &Selection) -> Result<Exit> {
    let found = args.snapshots.iter().map(|spec| Ok(find_snapshot(repository, spec, selection)?.id));
    let ids = found.collect::<Result<Vec<_>>>()?;
    let gone = repository.forget(&ids, args.force, args.dry_run)?;
    let judge = |snapshot: Arc<SnapshotRecord>| {
        let owner = gone_with(&snapshot, &gone).filter(|_| !ids.contains(&snapshot.id));
        let why = owner.map_or(Gone::NoRule, Gone::VolumeOf);
        Judged { snapshot, verdict: Verdict::Forget(why) }
    };
    let judged: Vec<_> = gone.iter().cloned().map(judge).collect();
    print(context, args.dry_run, &judged)
}

/// The snapshot among these that has this one as a volume's.
fn gone_with(snapshot: &SnapshotRecord, gone: &[Arc<SnapshotRecord>]) -> Option<backstay_format::ids::SnapshotId> {
    gone.iter().find(|other| other.volumes.values().any(|volume| *volume == snapshot.id)).map(|owner| owner.id)
}

fn undo(context: &Context, repository: &Repository, specs: &[String], selection: &Selection) -> Result<Exit> {
    let mut ids = Vec::new();
    for spec in specs {
        match find_forgotten(repository, spec, selection) {
            Ok(snapshot) => ids.push(snapshot.id),
            // Saying it twice is no failure.
            Err(failure) => match repository.find_snapshot(spec, selection) {
                Ok(snapshot) => context.note(&format!("snapshot {} is listed", short(&snapshot.id))),
                Err(RepoError::NoSnapshot { .. }) => return Err(failure),
                Err(error) => return Err(error.into()),
            },
        }
    }
    let back = repository.forget_undo(&ids)?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            back.iter().try_for_each(|snapshot| out.element(&SnapshotDocument::new(snapshot)))?;
            out.end_list()?;
        }
        Format::Name => back.iter().try_for_each(|snapshot| writeln!(out, "{}", snapshot.id))?,
        Format::Table | Format::Wide => {
            for snapshot in &back {
                writeln!(
                    out,
                    "{}  {}  {}",
                    snapshot.id,
                    record_time(&snapshot.started),
                    crate::output::escape(&snapshot.source)
                )?;
            }
        }
    }
    out.finish()?;
    context.note(&format!("brought back {}", counted(back.len() as u64, "snapshot", "snapshots")));
    Ok(Exit::Done)
}

/// What stays and why, and what goes.
fn print(context: &Context, dry_run: bool, judged: &[Judged]) -> Result<Exit> {
    let gone = judged.iter().filter(|one| !one.verdict.is_kept()).count();
    let kept = judged.len() - gone;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&ForgetDocument {
            dry_run,
            kept: kept as u64,
            forgotten: gone as u64,
            snapshots: judged.iter().map(document).collect(),
        })?,
        Format::Name => {
            let mut gone = judged.iter().filter(|one| !one.verdict.is_kept());
            gone.try_for_each(|one| writeln!(out, "{}", one.snapshot.id))?;
        }
        Format::Table | Format::Wide if judged.is_empty() => {}
        format => {
            let mut table = Table::new([
                ("ID", Align::Left),
                ("STARTED", Align::Left),
                ("SOURCE", Align::Left),
                ("ACTION", Align::Left),
                ("WHY", Align::Left),
            ]);
            for one in judged {
                let snapshot = &one.snapshot;
                let action = if one.verdict.is_kept() { "keep" } else { "forget" };
                let why: Vec<_> = reasons(&one.verdict).iter().map(ReasonDocument::text).collect();
                table.push([
                    if format == Format::Wide { snapshot.id.to_string() } else { short(&snapshot.id) },
                    record_time(&snapshot.started),
                    snapshot.source.clone(),
                    action.to_owned(),
                    why.join(", "),
                ]);
            }
            table.print(&mut out)?;
        }
    }
    out.finish()?;
    let forgot = counted(gone as u64, "snapshot", "snapshots");
    context.note(&match (dry_run, gone) {
        (true, _) => format!("would forget {forgot} and keep {kept}; nothing was changed"),
        (false, 0) => format!("nothing to forget; kept {kept}"),
        (false, _) => format!("forgot {forgot}, kept {kept}; `backstay forget --undo SNAPSHOT` brings one back"),
    });
    Ok(Exit::Done)
}

fn document(judged: &Judged) -> JudgedDocument<'_> {
    JudgedDocument {
        id: judged.snapshot.id,
        short_id: judged.snapshot.id.short(),
        source: &judged.snapshot.source,
        started: &judged.snapshot.started,
        action: if judged.verdict.is_kept() { "keep" } else { "forget" },
        reasons: reasons(&judged.verdict),
    }
}

fn reasons(verdict: &Verdict) -> Vec<ReasonDocument> {
    match verdict {
        Verdict::Keep(reasons) => reasons.iter().map(kept).collect(),
        Verdict::Forget(why) => vec![gone(why)],
    }
}

fn kept(reason: &Kept) -> ReasonDocument {
    let (rule, detail) = match reason {
        Kept::Rule { name, period } => (&name[..], period.clone()),
        Kept::Newest => ("newest", None),
        Kept::AtLeast => ("at-least", None),
        Kept::Held(names) => ("held", Some(names.join(", "))),
        Kept::Until(time) => ("until", Some(time.clone())),
        Kept::NeverExpires => ("never-expires", None),
        Kept::Future => ("future", None),
        Kept::Undated => ("undated", None),
        Kept::Unfinished => ("unfinished", None),
        Kept::VolumeOf(snapshot) => ("volume-of", Some(snapshot.to_string())),
    };
    ReasonDocument { rule: rule.to_owned(), detail }
}

fn gone(reason: &Gone) -> ReasonDocument {
    let (rule, detail) = match reason {
        Gone::NoRule => ("", None),
        Gone::Expired => ("expired", None),
        Gone::Superseded => ("superseded", None),
        Gone::VolumeOf(snapshot) => ("volume-of", Some(snapshot.to_string())),
    };
    ReasonDocument { rule: rule.to_owned(), detail }
}

impl PolicyArgs {
    fn policy(&self) -> Policy {
        let counts = [
            (Period::Minute, self.keep_minutely),
            (Period::Hour, self.keep_hourly),
            (Period::Day, self.keep_daily),
            (Period::Week, self.keep_weekly),
            (Period::Month, self.keep_monthly),
            (Period::Year, self.keep_yearly),
        ];
        let spans = [
            (Period::Hour, self.keep_within_hourly),
            (Period::Day, self.keep_within_daily),
            (Period::Week, self.keep_within_weekly),
            (Period::Month, self.keep_within_monthly),
            (Period::Year, self.keep_within_yearly),
        ];
        let tags = |list: &String| Rule::Tags(list.split(',').map(str::to_owned).collect());
        // A rule that keeps none is as if it were not given: templates write 0 for what is not wanted.
        let given = |count: Option<u32>| count.filter(|count| *count > 0);
        let mut rules: Vec<Rule> = given(self.keep_last).map(Rule::Last).into_iter().collect();
        rules.extend(
            counts.into_iter().filter_map(|(period, count)| Some(Rule::Newest { period, count: given(count)? })),
        );
        rules.extend(self.keep_within.map(Rule::Within));
        rules.extend(spans.into_iter().filter_map(|(period, span)| Some(Rule::NewestWithin { period, span: span? })));
        rules.extend(self.keep_tag.iter().map(tags));
        Policy { rules, expired: self.expired, at_least: self.keep_at_least, zone: self.zone.clone() }
    }
}

fn parse_count(text: &str) -> Result<u32, String> {
    if text == "all" {
        return Ok(u32::MAX);
    }
    text.parse().map_err(|_| "write a number, or `all`".to_owned())
}

fn parse_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text)
        .map_err(|_| "it is no time zone of the IANA's list, such as UTC, Europe/Berlin or Asia/Kolkata".to_owned())
}
