//! The page with the figures: medians, ratios, and what is needed to repeat and to judge them.

use std::fmt::Write;

use super::super::table::{cell, machine, median};
use super::Program;
use super::suite::{FIND, Phase, Sample, Suite, Work};
use crate::Result;

pub(super) struct Report {
    page: String,
    programs: Vec<Program>,
}

/// One figure of every sample, and how it is written.
struct Figure {
    title: &'static str,
    digits: usize,
    of: fn(&Sample) -> f64,
    phases: fn(Phase) -> bool,
    goal: fn(Suite, Phase) -> Option<f64>,
}

const FIGURES: [Figure; 4] = [
    Figure {
        title: "Wall time, s",
        digits: 2,
        of: |sample| sample.measurement.wall.as_secs_f64(),
        phases: |_| true,
        goal: wall_time_goal,
    },
    Figure {
        title: "Processor time, s",
        digits: 2,
        of: |sample| sample.measurement.cpu.as_secs_f64(),
        phases: |_| true,
        goal: |_, _| None,
    },
    Figure {
        title: "Peak memory, MiB",
        digits: 0,
        of: |sample| sample.measurement.peak_memory_bytes as f64 / f64::from(1 << 20),
        phases: |_| true,
        goal: |_, _| None,
    },
    Figure {
        title: "Stored in all, MB",
        digits: 1,
        of: |sample| sample.stored_bytes as f64 / 1e6,
        phases: |phase| matches!(phase, Phase::First | Phase::Changed),
        goal: |suite, _| (suite == Suite::Volumes).then_some(0.95),
    },
];

impl Report {
    pub(super) fn new(work: &Work, command_line: &str) -> Result<Report> {
        let mut versions = Vec::new();
        for (program, executable) in &work.executables {
            versions.push(program.version(executable)?);
        }
        let repeated = match work.runs {
            1 => "One run.".to_owned(),
            runs => format!("Medians of {runs} runs, least and most in brackets."),
        };
        let page = format!(
            "# Files: Backstay beside other programs\n\n\
             Written by `{command_line}`. {repeated} All programs use zstd level 3 and encryption, a local directory, and \
             their defaults elsewhere; the page cache is warm; the programs take turns in every phase. A ratio below one \
             means that Backstay needs less. What is stored does not count the 16 MiB that Backstay sets aside for the \
             day the disk is full.\n\n\
             Machine: {}. Programs: {}.\n",
            machine()?,
            versions.join(", "),
        );
        Ok(Report { page, programs: work.executables.iter().map(|(program, _)| *program).collect() })
    }

    pub(super) fn add(&mut self, suite: Suite, samples: &[Sample]) {
        let _ = write!(self.page, "\n## {}\n\n{}\n", title(suite), explanation(suite));
        for figure in &FIGURES {
            self.add_table(suite, samples, figure);
        }
    }

    /// What the repository's own measurement of its index printed.
    pub(super) fn add_index(&mut self, printed: &str) {
        let _ =
            write!(self.page, "\n## The local index at two million chunks\n\n```text\n{}\n```\n", printed.trim_end());
    }

    pub(super) fn page(&self) -> &str {
        &self.page
    }

    fn add_table(&mut self, suite: Suite, samples: &[Sample], figure: &Figure) {
        let is_storage = figure.title.starts_with("Stored");
        let mut subjects: Vec<&str> = self.programs.iter().map(|program| program.name()).collect();
        let base = if suite.has_find() && !is_storage { FIND } else { "best other" };
        if base == FIND {
            subjects.push(FIND);
        }
        let goals = suite.phases().iter().any(|&phase| (figure.goal)(suite, phase).is_some());
        let (goal_title, goal_rule) = if goals { (" goal |", "---:|") } else { ("", "") };
        let _ = write!(
            self.page,
            "\n| {} | {} | ratio to {base} |{goal_title}\n|---|{}---:|{goal_rule}\n",
            figure.title,
            subjects.join(" | "),
            "---:|".repeat(subjects.len()),
        );

        for &phase in suite.phases().iter().filter(|&&phase| (figure.phases)(phase)) {
            let values = |subject: &str| -> Vec<f64> {
                let of_subject = samples.iter().filter(|sample| sample.phase == phase && sample.subject == subject);
                let mut values: Vec<f64> = of_subject.map(figure.of).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let cells: Vec<String> = subjects.iter().map(|subject| cell(&values(subject), figure.digits)).collect();
            let others = subjects.iter().filter(|&&subject| match base {
                FIND => subject == FIND,
                _ => subject != Program::Backstay.name(),
            });
            let best = others.filter_map(|subject| median(&values(subject))).min_by(f64::total_cmp);
            let ratio = match (median(&values(Program::Backstay.name())), best) {
                (Some(ours), Some(best)) => format!("{:.2}", ours / best),
                _ => "-".into(),
            };
            let _ = write!(self.page, "| {} | {} | {ratio} |", phase_title(phase), cells.join(" | "));
            if goals {
                let goal = (figure.goal)(suite, phase).map_or("-".into(), |goal| format!("{goal:.2}"));
                let _ = write!(self.page, " {goal} |");
            }
            self.page.push('\n');
        }
    }
}

fn wall_time_goal(suite: Suite, phase: Phase) -> Option<f64> {
    match (suite, phase) {
        (Suite::Volumes, Phase::First | Phase::Check) => Some(0.40),
        (Suite::Volumes, Phase::Unchanged) => Some(0.17),
        (Suite::Volumes, Phase::Changed) => Some(0.45),
        (Suite::Volumes, Phase::Restore) => Some(0.35),
        (Suite::MillionFiles, Phase::First) => Some(1.0),
        (Suite::MillionFiles, Phase::Unchanged) => Some(0.65),
        _ => None,
    }
}

fn title(suite: Suite) -> &'static str {
    match suite {
        Suite::Volumes => "Source files and a database",
        Suite::MillionFiles => "A million files",
        Suite::LargeDirectory => "One directory of 200,000 entries",
        Suite::SparseFile => "One file of 8 GiB with holes",
    }
}

fn explanation(suite: Suite) -> &'static str {
    match suite {
        Suite::Volumes => {
            "About 21,000 source files (670 MB) and a PostgreSQL data directory (1.1 GB, pgbench at scale 40), made by \
             `benches/dataset.sh`. *Changed* is the database after 20,000 more transactions, each of its files a new inode, \
             as after cloning a volume. *Restore* writes everything into an empty folder; memory that was free is filled with \
             page cache before, as a virtual machine may have to get free memory from its host first."
        }
        Suite::MillionFiles => {
            "Empty files, 1,000 in each of 1,000 folders. `find` prints size, time and inode of each. The other programs ran once."
        }
        Suite::LargeDirectory => {
            "Empty files. `find` prints size, time and inode of each. The other programs ran once."
        }
        Suite::SparseFile => {
            "64 MiB of a database's pages, one MiB every 128 MiB, holes between them. The other programs ran once."
        }
    }
}

fn phase_title(phase: Phase) -> &'static str {
    match phase {
        Phase::First => "first backup",
        Phase::Unchanged => "unchanged",
        Phase::Changed => "changed database",
        Phase::Check => "check, reading all data",
        Phase::Restore => "restore",
    }
}
