//! The curves as a drawing.

use plotters::coord::Shift;
use plotters::element::DynElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::curves::Curves;
use super::experiment::{Experiment, Machine};
use crate::failure::Failure;

/// Pixels of a chart alone, before the reader scales them, and of each of several.
const ALONE: (u32, u32) = (840, 560);
const EACH: (u32, u32) = (520, 360);
/// Charts side by side.
const MOST_BESIDE: usize = 3;
/// Pixels of the legend's width.
const LEGEND_WIDTH: u32 = 160;
/// Where the words of the legend are: to the right of their point, in the middle of their height.
const BESIDE: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };
/// Colours that people with any colour vision can tell apart (Okabe and Ito, "Color Universal Design", 2008), black first.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(150, 140, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG document.
pub fn draw(experiment: &Experiment, curves: &Curves) -> Result<String, Failure> {
    let mut text = String::new();
    paint(&mut text, experiment, curves)
        .map_err(|error| Failure::failed(format!("cannot draw the curves: {error}")))?;
    text.push('\n');
    Ok(text)
}

fn paint(text: &mut String, experiment: &Experiment, curves: &Curves) -> Result<(), Box<dyn std::error::Error>> {
    let machines = &experiment.machines;
    let beside = machines.len().min(MOST_BESIDE);
    let rows = machines.len().div_ceil(beside);
    let (width, height) = if machines.len() == 1 { ALONE } else { EACH };
    let width_of_all = width * beside as u32;
    let size = (width_of_all + LEGEND_WIDTH, height * rows as u32);
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(width_of_all as i32);
    for (machine, place) in machines.iter().zip(left.split_evenly((rows, beside))) {
        let caption = match machines.len() {
            1 => experiment.describe(),
            _ => machine.describe(),
        };
        chart(&place, caption, experiment, machine, curves)?;
    }
    for (test, method) in experiment.methods.iter().enumerate() {
        let (colour, y) = (COLOURS[test % COLOURS.len()], 60 + 24 * test as i32);
        right.draw(&PathElement::new([(0, y), (28, y)], colour.stroke_width(2)))?;
        right.draw(&marker(test, (14, y), colour))?;
        let style = ("sans-serif", 13).into_text_style(&right).pos(BESIDE);
        right.draw(&Text::new(method.name, (36, y), style))?;
    }
    area.present()?;
    Ok(())
}

/// The curves of one machine.
fn chart(
    place: &Area<'_>,
    caption: String,
    experiment: &Experiment,
    machine: &Machine,
    curves: &Curves,
) -> Result<(), Box<dyn std::error::Error>> {
    let first = machine.points.first().map_or(0, |point| point.permille) as f64 / 10.0;
    let last = machine.points.last().map_or(1000, |point| point.permille) as f64 / 10.0;
    // A single point still needs a range.
    let (first, last) = if last - first < 1.0 { ((last - 1.0).max(0.0), last + 1.0) } else { (first, last) };
    let mut chart = ChartBuilder::on(place)
        .caption(caption, ("sans-serif", 15))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(first..last, 0.0..102.0)?;
    chart
        .configure_mesh()
        .x_desc("utilisation, % of all CPUs")
        .y_desc("accepted task sets, %")
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 13))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(11)
        .y_labels(11)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for test in 0..experiment.methods.len() {
        let colour = COLOURS[test % COLOURS.len()];
        let points = curves.of_test(machine, experiment, test).map(|(x, y)| (x * 100.0, y * 100.0));
        let points: Vec<(f64, f64)> = points.collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|&point| marker(test, point, colour)))?;
    }
    Ok(())
}

/// The sign of a curve at a point: circle, triangle, cross, ring, in turn.
fn marker<'s, C: Clone + 'static>(test: usize, at: C, colour: RGBColor) -> DynElement<'static, SVGBackend<'s>, C> {
    match test % 4 {
        0 => Circle::new(at, 4, colour.filled()).into_dyn(),
        1 => TriangleMarker::new(at, 5, colour.filled()).into_dyn(),
        2 => Cross::new(at, 4, colour.stroke_width(2)).into_dyn(),
        _ => Circle::new(at, 4, colour.stroke_width(2)).into_dyn(),
    }
}
