//! A restore's plan for people: counts first, then what is in the way or changes, by namespace. The document is the plan itself.

use std::collections::BTreeMap;
use std::io::Write;

use backstay_cluster::restore::{Action, ActionKind, Plan, PlanItem};

use crate::Result;
use crate::output::{Format, Output, count, counted, escape};

/// Prints the plan in the format that was asked for.
pub(crate) fn print(out: &mut Output, plan: &Plan) -> Result<()> {
    match out.format() {
        Format::Json | Format::Yaml => out.document(plan)?,
        Format::Name => {
            let is_done = |item: &&PlanItem| {
                let kind = item.action.kind();
                matches!(kind, ActionKind::Create | ActionKind::Update | ActionKind::Recreate | ActionKind::Unchecked)
            };
            for item in plan.items.iter().filter(is_done) {
                writeln!(out, "{}", escape(&item.target.to_string()))?;
            }
        }
        Format::Table | Format::Wide => print_text(out, plan)?,
    }
    Ok(())
}

fn print_text(out: &mut Output, plan: &Plan) -> Result<()> {
    let counts: Vec<_> = plan.counts().iter().map(|(kind, number)| format!("{kind} {}", count(*number))).collect();
    let target = &plan.target;
    writeln!(out, "Plan for {} ({}): {}", escape(&target.context), escape(&target.address), counts.join(", "))?;
    if plan.empty_volumes() > 0 {
        writeln!(out, "{} back EMPTY", counted(plan.empty_volumes(), "volume comes", "volumes come"))?;
    }
    for note in &plan.notes {
        writeln!(out, "note: {}", escape(note))?;
    }
    let mut namespaces: BTreeMap<Option<&str>, BTreeMap<Group, Vec<&str>>> = BTreeMap::new();
    for item in &plan.items {
        let groups = namespaces.entry(item.target.namespace.as_deref()).or_default();
        groups.entry(Group::of(item)).or_default().push(&item.target.name);
    }
    // All names where more columns were asked for.
    let names_max = if out.format() == Format::Wide { usize::MAX } else { NAMES_SHOWN };
    for (namespace, groups) in namespaces {
        writeln!(out)?;
        match namespace {
            Some(namespace) => writeln!(out, "namespace {}", escape(namespace))?,
            None => writeln!(out, "whole cluster")?,
        }
        for (group, names) in groups {
            let more = names.len().saturating_sub(names_max);
            let mut text = format!("{}/{}", group.resource, names[..names.len() - more].join(", "));
            if more > 0 {
                text += &format!(" and {} more", count(more as u64));
            }
            for part in [&group.origin, &group.why, &group.notes].into_iter().filter(|part| !part.is_empty()) {
                text += part;
            }
            writeln!(out, "  {:<9}  {}", group.action.to_string(), escape(&text))?;
        }
    }
    Ok(())
}

/// Names of objects that are alike, in one line.
const NAMES_SHOWN: usize = 8;

/// What objects of a namespace have in common that are told in one line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    action: ActionKind,
    resource: String,
    why: String,
    notes: String,
    origin: String,
}

impl Group {
    fn of(item: &PlanItem) -> Self {
        let why = match &item.action {
            Action::Create | Action::Unchanged => String::new(),
            Action::Left { fields } | Action::Update { fields } | Action::Recreate { fields } => fields.join(", "),
            Action::Conflict { why } | Action::Skipped { why } => why.clone(),
            Action::Unchecked { until } => format!("until {until} is there"),
        };
        let origin = if item.key.name != item.target.name {
            format!(" (from {})", item.key)
        } else if item.key.namespace != item.target.namespace {
            format!(" (from namespace {})", item.key.namespace.as_deref().unwrap_or_default())
        } else {
            String::new()
        };
        Self {
            action: item.action.kind(),
            resource: item.target.resource.to_string(),
            why: if why.is_empty() { why } else { format!(": {why}") },
            notes: item.notes.iter().fold(String::new(), |text, note| text + "; " + note),
            origin,
        }
    }
}
