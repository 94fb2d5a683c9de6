//! Line charts as SVG, to stand inside the page.

use candle_wsss::Error;
use plotters::prelude::*;

use crate::error::Result;

/// Colours of methods, in order: they differ for most colour-blind readers, on white and on dark grey.
const SERIES: [RGBColor; 8] = [
    RGBColor(0x6B, 0x72, 0x80),
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xB0, 0x8A, 0x00),
    RGBColor(0x7A, 0x4F, 0xC9),
    RGBColor(0xA8, 0x32, 0x32),
];
// The style sheet finds these two by value to turn them for dark screens.
const GRID: RGBColor = RGBColor(0xE5, 0xE7, 0xEB);
const INK: RGBColor = RGBColor(0x4B, 0x55, 0x63);

/// The backend draws at whole pixels: curves are drawn at twice the size and scaled down by the page.
const ZOOM: u32 = 2;
/// More points than this per curve cannot be told apart.
const MAX_POINTS: usize = 300;

/// One curve.
pub(crate) struct Series {
    /// Index of the method it belongs to: its colour.
    pub(crate) method: usize,
    /// A single repeat, beside the mean of all: drawn faint.
    pub(crate) faint: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart without a legend; the page has one beside it.
pub(crate) struct Chart {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    pub(crate) series: Vec<Series>,
    /// Points drawn as dots in a method's colour.
    pub(crate) dots: Vec<(usize, (f64, f64))>,
    /// Where a vertical line is drawn.
    pub(crate) vertical: Option<f64>,
}

/// Colour of a method as CSS writes it.
pub(crate) fn css_color(method: usize) -> String {
    let RGBColor(red, green, blue) = SERIES[method % SERIES.len()];
    format!("#{red:02X}{green:02X}{blue:02X}")
}

impl Chart {
    /// The `<svg>` element; `None` when no curve has a point.
    pub(crate) fn to_svg(&self) -> Result<Option<String>> {
        let all =
            || self.series.iter().flat_map(|series| &series.points).filter(|(x, y)| x.is_finite() && y.is_finite());
        let ranges = range(all().map(|point| point.0), 0.0).zip(range(all().map(|point| point.1), 0.06));
        let Some(((x_low, x_high), (y_low, y_high))) = ranges else { return Ok(None) };
        // Measures and most losses are not negative; room below 0 would say otherwise.
        let y_low = if all().all(|point| point.1 >= 0.0) { y_low.max(0.0) } else { y_low };
        let mut svg = String::new();
        self.draw(&mut svg, (x_low, x_high), (y_low, y_high)).map_err(|err| Error::value("chart", err.to_string()))?;
        Ok(Some(svg))
    }

    fn draw(
        &self,
        svg: &mut String,
        (x_low, x_high): (f64, f64),
        (y_low, y_high): (f64, f64),
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let text = |size: u32| ("sans-serif", size * ZOOM).into_font().color(&INK);
        let root = SVGBackend::with_string(svg, (self.width * ZOOM, self.height * ZOOM)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6 * ZOOM)
            .margin_right(14 * ZOOM)
            .x_label_area_size(40 * ZOOM)
            .y_label_area_size(54 * ZOOM)
            .build_cartesian_2d(x_low..x_high, y_low..y_high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(ZOOM))
            .axis_style(INK.stroke_width(ZOOM))
            .label_style(text(15))
            .axis_desc_style(text(15))
            .x_labels(usize::try_from(self.width / 60).unwrap_or(6))
            .y_labels(usize::try_from(self.height / 40).unwrap_or(5))
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .draw()?;
        if let Some(at) = self.vertical.filter(|at| *at > x_low && *at < x_high) {
            chart.draw_series(DashedLineSeries::new(
                [(at, y_low), (at, y_high)],
                5 * ZOOM,
                4 * ZOOM,
                INK.stroke_width(ZOOM),
            ))?;
        }
        for faint in [true, false] {
            for series in self.series.iter().filter(|series| series.faint == faint) {
                let color = SERIES[series.method % SERIES.len()].mix(if faint { 0.3 } else { 1.0 });
                let style = color.stroke_width(if faint { ZOOM } else { 2 * ZOOM });
                chart.draw_series(LineSeries::new(thinned(&series.points), style))?;
            }
        }
        for (method, at) in &self.dots {
            let style = SERIES[method % SERIES.len()].filled();
            chart.draw_series([Circle::new(*at, 4 * ZOOM, style)])?;
        }
        drop(chart);
        root.present()?;
        Ok(())
    }
}

/// Smallest and largest value, a share of the distance added on both sides; `None` without numbers.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return None;
    }
    if low == high {
        // An empty range cannot be drawn on.
        let room = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        return Some((low - room, high + room));
    }
    let room = margin * (high - low);
    Some((low - room, high + room))
}

/// At most [`MAX_POINTS`] points at even distances, first and last among them; those that are no numbers left out.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if finite.len() <= MAX_POINTS {
        return finite;
    }
    let last = finite.len() - 1;
    (0..MAX_POINTS).map(|index| finite[index * last / (MAX_POINTS - 1)]).collect()
}

/// Mean over a window around every point, the width of the window a fortieth of the curve.
pub(crate) fn smoothed(points: &[(usize, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().filter(|point| point.1.is_finite()).map(|p| (p.0 as f64, p.1)).collect();
    let half = finite.len() / 80;
    let mean = |index: usize| {
        let window = &finite[index.saturating_sub(half)..(index + half + 1).min(finite.len())];
        window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64
    };
    (0..finite.len()).map(|index| (finite[index].0, mean(index))).collect()
}

/// A tick's label: as few digits as it needs.
fn number(value: f64) -> String {
    if value.abs() >= 10_000.0 && value % 1000.0 == 0.0 {
        return format!("{}k", value / 1000.0);
    }
    let decimals = if value.abs() >= 100.0 { 0 } else { 4 };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text.as_str() };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}
