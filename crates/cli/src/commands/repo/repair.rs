//! `backstay repo repair`: mends the repository by what it still holds itself.

use std::io::Write;

use backstay_repo::repair::{BrokenSnapshot, Depth, IndexPlan, PacksPlan, PacksRepair, SnapshotsPlan};
use backstay_repo::{Progress, Repository, names};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::Result;
use crate::context::{Context, confirm, threads, warn};
use crate::failure::Exit;
use crate::output::{Format, Output, counted, escape, record_time, short, size};
use crate::progress::{self, Labels};

/// Mend a damaged repository by what it still holds itself
///
/// Where a copy of the repository exists, `repo heal` comes first: it loses nothing. Then `index`, `packs` and `snapshots`, in
/// this order. Each says what it would do and asks; damaged bytes are kept under quarantine/.
#[derive(Subcommand)]
pub(crate) enum RepairCommand {
    Index(IndexArgs),
    Packs(PacksArgs),
    Snapshots(SnapshotsArgs),
}

#[derive(Args)]
struct Consent {
    /// Only say what is wrong and what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Make the index anew where segments are missing or damaged, from the packs alone
///
/// Checkpoints of the log that are damaged, or do not say what the log says, are taken out of use too.
#[derive(Args)]
pub(crate) struct IndexArgs {
    #[command(flatten)]
    consent: Consent,
}

/// Save what is intact in damaged packs into new ones, and retire the damaged ones
///
/// Looks into packs that a check found damaged, and those that are missing or have another size than they should. A later
/// collection deletes them; what their damage cost is said with the snapshots and paths concerned.
#[derive(Args)]
pub(crate) struct PacksArgs {
    /// Read all packs to find damaged ones
    #[arg(long)]
    read_data: bool,

    /// Repair in a store that cannot create an object only if it is absent. Says that no other process uses the repository,
    /// and that none that ran before will go on
    #[arg(long)]
    exclusive: bool,

    #[command(flatten)]
    consent: Consent,
}

/// Replace snapshots of which something is lost by what is left of them
///
/// Each gets a successor of the same source and time, whose ledger names what is lost, and is forgotten, unless it is held.
/// `backstay forget --undo` lists it again until a collection lets data go. A backup made before this has stored again whatever
/// its source still had.
#[derive(Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct RepairDocument<'a, P, D> {
    dry_run: bool,
    plan: &'a P,
    /// Nothing where there was nothing to do, or it was only planned.
    done: Option<D>,
}

pub(super) fn run(context: &Context, command: RepairCommand) -> Result<Exit> {
    let repository = context.open()?;
    match command {
        RepairCommand::Index(args) => index(context, &repository, &args.consent),
        RepairCommand::Packs(args) => {
            let repository = if args.exclusive { repository.exclusive() } else { repository };
            packs(context, &repository, &args)
        }
        RepairCommand::Snapshots(args) => snapshots(context, &repository, &args.consent),
    }
}

fn index(context: &Context, repository: &Repository, consent: &Consent) -> Result<Exit> {
    let plan = IndexPlan::make(repository)?;
    let mut out = context.output();
    if is_text(&out) {
        for segment in &plan.segments {
            writeln!(out, "damaged: {}: {}", names::segment(&segment.id), escape(&segment.problem))?;
        }
        for checkpoint in &plan.checkpoints {
            writeln!(out, "damaged: {}: {}", names::checkpoint(checkpoint.slot), escape(&checkpoint.problem))?;
        }
        if !plan.packs.is_empty() {
            let bytes = plan.packs.iter().map(|pack| pack.size_bytes).sum();
            let packs = counted(plan.packs.len() as u64, "pack", "packs");
            writeln!(out, "{packs} ({}) in no index segment that can be read", size(bytes))?;
        }
        out.flush()?;
    }
    let done = if plan.is_empty() {
        context.note("every index segment and checkpoint can be read, and all packs are in a segment");
        None
    } else if consent.dry_run {
        context.note("nothing was changed");
        None
    } else {
        let segments = counted(plan.segments.len() as u64, "index segment", "index segments");
        let packs = counted(plan.packs.len() as u64, "pack", "packs");
        let checkpoints = counted(plan.checkpoints.len() as u64, "checkpoint", "checkpoints");
        let is_about_checkpoints = !plan.checkpoints.is_empty();
        let also =
            |word: &str| if is_about_checkpoints { format!(", and {word} {checkpoints}") } else { String::new() };
        let question = format!("make the index of {packs} anew, and replace {segments}{}", also("remove"));
        confirm(&question, consent.yes)?;
        let progress = Progress::new();
        let labels = Labels { doing: "read", item: "pack", items: "packs" };
        let done = progress::run(context, labels, &progress, || plan.run(repository, &progress))?;
        context.note(&format!(
            "indexed {} in {}; replaced {segments}{}",
            counted(done.records, "record", "records"),
            counted(done.packs, "pack", "packs"),
            also("removed"),
        ));
        for pack in &done.damaged {
            let records = counted(pack.records, "record", "records");
            warn(&format!("{}: {}; {records} in it can be read", names::pack(&pack.id), pack.problem));
        }
        say_quarantined(context, &done.quarantined);
        context.note(if done.damaged.is_empty() {
            "next: `backstay repo check` says whether anything is missing still"
        } else {
            "next: `backstay repo repair packs`"
        });
        Some(done)
    };
    let is_damaged = match &done {
        Some(done) => !done.damaged.is_empty(),
        None => !(plan.segments.is_empty() && plan.checkpoints.is_empty()),
    };
    print_document(out, consent, &plan, done)?;
    Ok(exit(is_damaged))
}

fn packs(context: &Context, repository: &Repository, args: &PacksArgs) -> Result<Exit> {
    let consent = &args.consent;
    let depth = if args.read_data { Depth::All } else { Depth::Known };
    let progress = Progress::new();
    let labels = Labels { doing: "looked at", item: "item", items: "items" };
    let plan =
        progress::run(context, labels, &progress, || PacksPlan::make(repository, depth, threads().get(), &progress))?;
    let mut out = context.output();
    let saved: u64 = plan.packs.iter().map(|pack| pack.records_intact).sum();
    let lost: u64 = plan.packs.iter().map(|pack| pack.records_lost).sum();
    if is_text(&out) {
        for pack in &plan.packs {
            writeln!(out, "damaged: {}: {}", names::pack(&pack.id), escape(&pack.problem))?;
            let intact = counted(pack.records_intact, "record", "records");
            writeln!(out, "  {intact} can be saved, {} lost", pack.records_lost)?;
        }
        print_snapshots(&mut out, &plan.snapshots)?;
        out.flush()?;
    }
    if lost > 0 {
        warn(
            "what is lost here a copy of the repository may still have: `backstay repo heal --from COPY` comes before this",
        );
    }
    let done = if plan.is_empty() {
        if !plan.intact.is_empty() && !consent.dry_run {
            plan.run(repository, &progress)?;
        }
        context.note(if args.read_data {
            "no pack is damaged"
        } else {
            "no pack is missing, cut or known to be damaged; --read-data reads all of them"
        });
        None
    } else if consent.dry_run {
        context.note("nothing was changed");
        None
    } else {
        let packs = counted(plan.packs.len() as u64, "damaged pack", "damaged packs");
        let records = counted(saved, "record", "records");
        confirm(&format!("retire {packs}, of which {records} are saved and {lost} are lost"), consent.yes)?;
        let progress = Progress::new();
        let labels = Labels { doing: "saved", item: "pack", items: "packs" };
        let done = progress::run(context, labels, &progress, || plan.run(repository, &progress))?;
        context.note(&format!(
            "saved {} into {}; retired {}",
            counted(done.records_saved, "record", "records"),
            counted(done.packs_added, "new pack", "new packs"),
            counted(done.packs_retired, "pack", "packs"),
        ));
        for id in &done.not_retired {
            warn(&format!(
                "{} gave less than before and stays: run `backstay repo repair packs` again",
                names::pack(id)
            ));
        }
        say_quarantined(context, &done.quarantined);
        if lost > 0 {
            context.note(
                "next: a backup stores again what its source still has; then `backstay repo repair snapshots` deals with the rest",
            );
        }
        Some(done)
    };
    let is_left = |done: &PacksRepair| !done.not_retired.is_empty();
    let is_damaged = lost > 0 || done.as_ref().map_or(!plan.is_empty(), is_left);
    print_document(out, consent, &plan, done)?;
    Ok(exit(is_damaged))
}

fn snapshots(context: &Context, repository: &Repository, consent: &Consent) -> Result<Exit> {
    let progress = Progress::new();
    let labels = Labels { doing: "looked at", item: "snapshot", items: "snapshots" };
    let plan = progress::run(context, labels, &progress, || SnapshotsPlan::make(repository, &progress))?;
    let mut out = context.output();
    if is_text(&out) {
        print_snapshots(&mut out, &plan.snapshots)?;
        out.flush()?;
    }
    let done = if plan.is_empty() {
        context.note("nothing is lost of any snapshot");
        None
    } else if consent.dry_run {
        context.note("nothing was changed");
        None
    } else {
        warn(
            "what is lost a copy of the repository may still have: `backstay repo heal --from COPY` comes before this",
        );
        let many = counted(plan.snapshots.len() as u64, "snapshot", "snapshots");
        confirm(&format!("replace {many} by what is left of them"), consent.yes)?;
        let progress = Progress::new();
        let done = progress::run(context, labels, &progress, || plan.run(repository, &progress))?;
        for snapshot in &done.snapshots {
            let left = match &snapshot.new {
                Some(new) => format!("what is left of {} is {}", short(&snapshot.id), short(new)),
                None => format!("nothing is left of {}", short(&snapshot.id)),
            };
            let fate = if snapshot.holds.is_empty() {
                "the old one is forgotten".to_owned()
            } else {
                format!("the old one stays: it is held ({})", snapshot.holds.join(", "))
            };
            context.note(&format!("{left}; {fate}"));
        }
        Some(done)
    };
    let is_damaged = match &done {
        Some(done) => done.snapshots.iter().any(|snapshot| !snapshot.holds.is_empty()),
        None => !plan.is_empty(),
    };
    print_document(out, consent, &plan, done)?;
    Ok(exit(is_damaged))
}

fn exit(is_damaged: bool) -> Exit {
    if is_damaged { Exit::Damage } else { Exit::Done }
}

fn is_text(out: &Output) -> bool {
    matches!(out.format(), Format::Table | Format::Wide)
}

fn print_document<P: Serialize, D: Serialize>(
    mut out: Output,
    consent: &Consent,
    plan: &P,
    done: Option<D>,
) -> Result<()> {
    if out.format().is_document() {
        out.document(&RepairDocument { dry_run: consent.dry_run, plan, done })?;
    }
    Ok(out.finish()?)
}

fn print_snapshots(out: &mut Output, snapshots: &[BrokenSnapshot]) -> Result<()> {
    for snapshot in snapshots {
        writeln!(
            out,
            "snapshot {} of {} ({}): {} lost",
            short(&snapshot.id),
            escape(&snapshot.source),
            record_time(&snapshot.started),
            counted(snapshot.items_lost, "item", "items"),
        )?;
        for path in &snapshot.paths {
            writeln!(out, "  {}", escape(path))?;
        }
        if snapshot.paths_more > 0 {
            writeln!(out, "  and {} more", counted(snapshot.paths_more, "path", "paths"))?;
        }
        if !snapshot.holds.is_empty() {
            writeln!(out, "  it is held ({}), and stays", escape(&snapshot.holds.join(", ")))?;
        }
    }
    Ok(())
}

fn say_quarantined(context: &Context, names: &[String]) {
    for name in names {
        context.note(&format!("the damaged bytes are kept as {name}"));
    }
}
