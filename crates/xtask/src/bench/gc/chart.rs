//! Charts as plain SVG: a grid of panels over the same days, each with lines, ticks and a legend.
//!
//! Colours are of middle brightness and nothing has a background, so that a chart can be read on white and on black.

use std::fmt::Write;

const PANEL_WIDTH: f64 = 460.0;
const PANEL_HEIGHT: f64 = 270.0;
const COLUMNS: usize = 2;
/// Around the plot inside a panel: for ticks, title and legend.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 34.0;
const TEXT: &str = "#7d7d7d";
const COLOURS: [&str; 4] = ["#2f81d8", "#d9742b", "#8f8f8f", "#3a9d5d"];

pub(super) struct Panel {
    pub(super) title: String,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// Whole powers of ten; for what differs by orders of magnitude.
    Logarithmic,
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) is_dashed: bool,
    /// Days, and values above zero.
    pub(super) points: Vec<(f64, f64)>,
}

/// All panels, two beside each other.
pub(super) fn svg(panels: &[Panel], days: f64) -> String {
    let (width, height) = (PANEL_WIDTH * COLUMNS as f64, PANEL_HEIGHT * panels.len().div_ceil(COLUMNS) as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let (column, row) = (number % COLUMNS, number / COLUMNS);
        let _ =
            writeln!(svg, "<g transform=\"translate({},{})\">", column as f64 * PANEL_WIDTH, row as f64 * PANEL_HEIGHT);
        draw(&mut svg, panel, days);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, days: f64) {
    let (width, height) = (PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM);
    let values = || panel.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let ticks = ticks(panel.scale, values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let (low, high) = (position(panel.scale, ticks[0]), position(panel.scale, ticks[ticks.len() - 1]));
    let x = |day: f64| LEFT + day / days * width;
    let y = |value: f64| TOP + (high - position(panel.scale, value)) / (high - low) * height;

    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"600\">{}</text>", panel.title);
    for tick in &ticks {
        let (at, label) = (y(*tick), label(*tick));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}h{width}\" stroke=\"{TEXT}\" stroke-opacity=\"0.25\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for quarter in 0..=4 {
        let day = days * f64::from(quarter) / 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}{day:.0}</text>",
            x(day),
            PANEL_HEIGHT - BOTTOM + 18.0,
            if quarter == 0 { "day " } else { "" }
        );
    }
    let mut legend = LEFT;
    for (line, colour) in panel.lines.iter().zip(COLOURS) {
        let dash = if line.is_dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let points: Vec<String> =
            line.points.iter().map(|(day, value)| format!("{:.1},{:.1}", x(*day), y(*value))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dash}/>\
             <path d=\"M{legend} 36h16\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\
             <text x=\"{}\" y=\"40\">{}</text>",
            points.join(" "),
            legend + 21.0,
            line.name
        );
        legend += 36.0 + 6.1 * line.name.chars().count() as f64;
    }
}

fn position(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.log10(),
    }
}

/// At least two, ascending, the first at or below the least value and the last at or above the greatest.
fn ticks(scale: Scale, least: f64, greatest: f64) -> Vec<f64> {
    if scale == Scale::Logarithmic {
        let first = least.max(f64::MIN_POSITIVE).log10().floor() as i32;
        let last = (greatest.max(least).log10().ceil() as i32).max(first + 1);
        return (first..=last).map(|power| 10_f64.powi(power)).collect();
    }
    let rough = greatest.max(f64::MIN_POSITIVE) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (0..=(greatest / step).ceil().max(1.0) as u32).map(|number| f64::from(number) * step).collect()
}

fn label(value: f64) -> String {
    match value {
        1e3.. => format!("{value:.0}"),
        // As many digits as the steps of `ticks` have.
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_all_values() {
        assert_eq!(ticks(Scale::Linear, 3.0, 190.0), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(ticks(Scale::Linear, 0.1, 0.35), [0.0, 0.1, 0.2, 0.30000000000000004, 0.4]);
        assert_eq!(ticks(Scale::Logarithmic, 5.0, 73_000.0), [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        assert_eq!(ticks(Scale::Linear, 0.0, 0.0).len(), 2);
    }

    #[test]
    fn labels_have_no_needless_digits() {
        assert_eq!([0.0, 0.25, 0.30000000000000004, 5.0, 10_000.0].map(label), ["0", "0.25", "0.3", "5", "10000"]);
    }

    #[test]
    fn every_line_is_drawn_inside_its_panel() {
        let line = |name: &str, value: f64| Line {
            name: name.into(),
            is_dashed: false,
            points: vec![(0.0, value), (365.0, value * 2.0)],
        };
        let lines = vec![line("kept", 30.0), line("all", 70_000.0)];
        let panel = Panel { title: "MB".into(), scale: Scale::Logarithmic, lines };
        let drawn = svg(&[panel], 365.0);
        let polylines: Vec<&str> = drawn.split("<polyline points=\"").skip(1).collect();
        assert_eq!(polylines.len(), 2);
        for points in polylines.iter().filter_map(|rest| rest.split('"').next()) {
            for (x, y) in points.split(' ').filter_map(|point| point.split_once(',')) {
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((LEFT..=PANEL_WIDTH - RIGHT).contains(&x), "{x}");
                assert!((TOP..=PANEL_HEIGHT - BOTTOM).contains(&y), "{y}");
            }
        }
    }
}
