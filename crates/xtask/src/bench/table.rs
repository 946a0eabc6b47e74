//! The cells of a page with figures, and the machine they were taken on.

use crate::Result;
use crate::command::{command, output, read};

/// Median, least and most of sorted values.
pub(super) fn cell(values: &[f64], digits: usize) -> String {
    let (Some(middle), Some(least), Some(most)) = (median(values), values.first(), values.last()) else {
        return "-".into();
    };
    if values.len() == 1 {
        format!("{middle:.digits$}")
    } else {
        format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// The middle of sorted values; of an even number of them, the mean of the two in the middle.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

pub(super) fn machine() -> Result<String> {
    let field = |path: &str, name: &str| -> Result<String> {
        let text = read(path.as_ref())?;
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        Ok(line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = output(command("uname").arg("-sr"))?;
    Ok(format!(
        "{processors} processors ({}), {} GiB of memory, {}",
        field("/proc/cpuinfo", "model name")?,
        memory_kib >> 20,
        kernel.trim(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_sorted_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }

    #[test]
    fn a_cell_shows_the_median_and_the_range() {
        assert_eq!(cell(&[], 2), "-");
        assert_eq!(cell(&[1.254], 2), "1.25");
        assert_eq!(cell(&[1.0, 2.0, 9.0], 1), "2.0 (1.0–9.0)");
    }
}
