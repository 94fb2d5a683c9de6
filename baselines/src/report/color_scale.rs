//! Colours of scores from 0 to 1, and their legend.

use maud::{Markup, PreEscaped, html};

/// Viridis at equal distances: every step looks as large as every other, in gray and to most colour-blind readers too.
const STOPS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3E, 0x49, 0x89],
    [0x31, 0x68, 0x8E],
    [0x26, 0x82, 0x8E],
    [0x1F, 0x9E, 0x89],
    [0x35, 0xB7, 0x79],
    [0x6E, 0xCE, 0x58],
    [0xB5, 0xDE, 0x2B],
    [0xFD, 0xE7, 0x25],
];

/// Colour of a score, which is clamped to `[0, 1]`; no number counts as 0.
pub(crate) fn score_color(score: f32) -> [u8; 3] {
    let score = if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
    let place = score * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let share = place - below as f32;
    std::array::from_fn(|channel| {
        let (low, high) = (f32::from(STOPS[below][channel]), f32::from(STOPS[below + 1][channel]));
        (low * (1.0 - share) + high * share).round() as u8
    })
}

/// A bar of the colours from 0 to 1.
pub(crate) fn score_legend(what: &str) -> Markup {
    let stops: Vec<String> =
        STOPS.iter().map(|[red, green, blue]| format!("#{red:02X}{green:02X}{blue:02X}")).collect();
    let style = format!("background:linear-gradient(to right,{})", stops.join(","));
    html! { span.ramp { (what) " 0" span.colors style=(PreEscaped(style)) {} "1" } }
}
