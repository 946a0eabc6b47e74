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
    let mut namespaces: BTreeMap<Option<&str>, Vec<&PlanItem>> = BTreeMap::new();
    for item in &plan.items {
        namespaces.entry(item.target.namespace.as_deref()).or_default().push(item);
    }
    for (namespace, items) in namespaces {
        writeln!(out)?;
        match namespace {
            Some(namespace) => writeln!(out, "namespace {}", escape(namespace))?,
            None => writeln!(out, "whole cluster")?,
        }
        for item in items {
            print_item(out, item)?;
        }
    }
    Ok(())
}

fn print_item(out: &mut Output, item: &PlanItem) -> Result<()> {
    let why = match &item.action {
        Action::Create | Action::Unchanged => String::new(),
        Action::Left { fields } | Action::Update { fields } | Action::Recreate { fields } => fields.join(", "),
        Action::Conflict { why } | Action::Skipped { why } => why.clone(),
        Action::Unchecked { until } => format!("until {until} is there"),
    };
    let origin = if item.key.name == item.target.name && item.key.namespace == item.target.namespace {
        String::new()
    } else {
        format!(" (from {})", item.key)
    };
    let notes = item.notes.iter().fold(String::new(), |text, note| text + "; " + note);
    let separator = if why.is_empty() { "" } else { ": " };
    let name = format!("{}/{}", item.target.resource, item.target.name);
    let text = format!("{name}{origin}{separator}{why}{notes}");
    writeln!(out, "  {:<9}  {}", item.action.kind().to_string(), escape(&text))?;
    Ok(())
}
