//! Plots as SVG: dark on white, whatever is around them.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 480);
const FONT: &str = "sans-serif";
/// Told apart by people who see colours differently, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(120, 120, 120),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
];

/// One value for each tick of the axis.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) values: Vec<f64>,
}

/// What stands below.
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) ticks: Vec<String>,
}

/// How far apart values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Each gridline is twice the one below.
    Doubling,
}

/// Lines over evenly spaced ticks.
pub(crate) fn lines(
    file: &Path,
    title: &str,
    unit: &str,
    scale: Scale,
    axis: &Axis,
    lines: &[Line],
) -> Result<()> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    draw_lines(&root, title, unit, scale, axis, lines).map_err(|error| anyhow!("{error}"))?;
    root.present().map_err(|error| anyhow!("{error}"))
}

/// Groups of bars, one group for each tick, a bar of each line in it.
pub(crate) fn bars(
    file: &Path,
    title: &str,
    unit: &str,
    axis: &Axis,
    lines: &[Line],
) -> Result<()> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    draw_bars(&root, title, unit, axis, lines).map_err(|error| anyhow!("{error}"))?;
    root.present().map_err(|error| anyhow!("{error}"))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw_lines<'a>(
    root: &Area<'a>,
    title: &str,
    unit: &str,
    scale: Scale,
    axis: &Axis,
    lines: &[Line],
) -> Result<(), DrawError<'a>> {
    root.fill(&WHITE)?;
    let last = axis.ticks.len().saturating_sub(1) as f64;
    let height = scale.range(lines);
    let gridlines = match scale {
        Scale::Linear => 10,
        Scale::Doubling => (height.end - height.start).round() as usize + 1,
    };
    let mut chart = ChartBuilder::on(root)
        .caption(title, (FONT, 20))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(76)
        .build_cartesian_2d(-0.2..last + 0.2, height)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .label_style((FONT, 15))
        .x_labels(axis.ticks.len())
        .y_labels(gridlines)
        .x_label_formatter(&|x| tick(axis, *x))
        .y_label_formatter(&|y| number(scale.value(*y)))
        .x_desc(&axis.label)
        .y_desc(unit)
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS) {
        let heights = line.values.iter().map(|value| scale.height(*value));
        let points: Vec<(f64, f64)> = (0u32..).map(f64::from).zip(heights).collect();
        let dots = points.iter().map(|at| Circle::new(*at, 4, colour.filled()));
        chart.draw_series(dots)?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(3)))?
            .label(&line.label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 2)], colour.filled()));
    }
    legend(&mut chart)
}

impl Scale {
    fn height(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Doubling => value.log2(),
        }
    }

    fn value(self, height: f64) -> f64 {
        match self {
            Self::Linear => height,
            Self::Doubling => height.exp2(),
        }
    }

    /// A little above the highest value, so that the legend has room.
    fn range(self, lines: &[Line]) -> std::ops::Range<f64> {
        let values = || lines.iter().flat_map(|line| &line.values).copied();
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(0.0, f64::max),
        );
        match self {
            Self::Linear => 0.0..high * 1.15,
            Self::Doubling => low.log2().floor()..high.log2().ceil() + 1.0,
        }
    }
}

fn draw_bars<'a>(
    root: &Area<'a>,
    title: &str,
    unit: &str,
    axis: &Axis,
    lines: &[Line],
) -> Result<(), DrawError<'a>> {
    root.fill(&WHITE)?;
    let last = axis.ticks.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(root)
        .caption(title, (FONT, 20))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(76)
        .build_cartesian_2d(-0.6..last + 0.6, Scale::Linear.range(lines))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .label_style((FONT, 15))
        .x_labels(axis.ticks.len() * 2 + 1)
        .x_label_formatter(&|x| tick(axis, *x))
        .y_label_formatter(&|y| number(*y))
        .x_desc(&axis.label)
        .y_desc(unit)
        .draw()?;
    let width = 0.8 / lines.len().max(1) as f64;
    for ((line, colour), nth) in lines.iter().zip(COLOURS).zip(0u32..) {
        let left = -0.4 + width * f64::from(nth);
        let bars = (0u32..)
            .map(f64::from)
            .zip(&line.values)
            .map(|(at, value)| {
                let (from, to) = (at + left + width * 0.05, at + left + width * 0.95);
                Rectangle::new([(from, 0.0), (to, *value)], colour.filled())
            });
        chart
            .draw_series(bars)?
            .label(&line.label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.filled()));
        let values = (0u32..)
            .map(f64::from)
            .zip(&line.values)
            .map(|(at, value)| {
                let style = (FONT, 12).into_font().color(&BLACK);
                let style = style.pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Center,
                    plotters::style::text_anchor::VPos::Bottom,
                ));
                EmptyElement::at((at + left + width / 2.0, *value))
                    + Text::new(number(*value), (0, -4), style)
            });
        chart.draw_series(values)?;
    }
    legend(&mut chart)
}

fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
) -> Result<(), DrawError<'a>>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font((FONT, 15))
        .legend_area_size(26)
        .margin(10)
        .draw()
}

/// The label of a tick; nothing between two.
fn tick(axis: &Axis, x: f64) -> String {
    let nearest = x.round();
    if (x - nearest).abs() > 0.01 || nearest < 0.0 {
        return String::new();
    }
    axis.ticks
        .get(nearest as usize)
        .cloned()
        .unwrap_or_default()
}

/// With a blank between thousands, and as many decimals as a small value needs.
fn number(value: f64) -> String {
    if value.abs() < 10.0 && value != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}
