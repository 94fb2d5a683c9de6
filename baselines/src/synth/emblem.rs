//! The discriminative part: a head whose outline, pattern and colour are those of one class.

use std::f32::consts::{PI, TAU};

use super::paint::{Rgb, hsv};

/// The head of a class.
#[derive(Clone, Debug)]
pub(super) struct Emblem {
    pub(super) outline: Outline,
    pub(super) pattern: Pattern,
    /// Hue of the pattern, a turn.
    pub(super) accent: f32,
    /// Whether a light pattern lies on a dark ground.
    pub(super) is_dark: bool,
    /// How far the pattern is turned, radians.
    pub(super) turn: f32,
}

/// The silhouette of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outline {
    Round,
    Eared,
    Square,
    Star,
    Crested,
    Pointed,
}

impl Outline {
    pub(super) const ALL: [Self; 6] =
        [Self::Round, Self::Eared, Self::Square, Self::Star, Self::Crested, Self::Pointed];

    /// The largest radius of any outline.
    pub(super) const REACH: f32 = 1.6;

    /// Radius in the direction `angle` from straight up, clockwise; the area of all is about that of the unit disc.
    pub(super) fn radius(self, angle: f32) -> f32 {
        let bump = |at: f32, width: f32| {
            let off = (angle - at + PI).rem_euclid(TAU) - PI;
            (-(off / width).powi(2)).exp()
        };
        match self {
            Self::Round => 1.0,
            Self::Eared => 0.93 + 0.6 * (bump(0.65, 0.22) + bump(-0.65, 0.22)),
            Self::Square => 0.89 / (angle.cos().abs().powi(6) + angle.sin().abs().powi(6)).powf(1.0 / 6.0),
            Self::Star => 0.98 + 0.22 * (5.0 * angle).cos(),
            Self::Crested => 0.92 + 0.5 * (bump(0.0, 0.16) + 0.8 * bump(0.55, 0.16) + 0.8 * bump(-0.55, 0.16)),
            Self::Pointed => 0.94 + 0.6 * bump(0.0, 0.3),
        }
    }
}

/// What is painted on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Ring,
    Bars,
    Checker,
    Spokes,
    Eyes,
    Half,
    Cross,
    Wedge,
    Target,
    Crescent,
}

impl Pattern {
    pub(super) const ALL: [Self; 10] = [
        Self::Ring,
        Self::Bars,
        Self::Checker,
        Self::Spokes,
        Self::Eyes,
        Self::Half,
        Self::Cross,
        Self::Wedge,
        Self::Target,
        Self::Crescent,
    ];

    /// Whether the pattern's colour is at a point of the unit disc, `y` down.
    fn is_inked(self, x: f32, y: f32) -> bool {
        let radius = x.hypot(y);
        match self {
            Self::Ring => (0.35..0.72).contains(&radius),
            Self::Bars => (3.2 * PI * x).cos() > 0.0,
            Self::Checker => x * y > 0.0,
            Self::Spokes => radius > 0.18 && (3.0 * y.atan2(x)).cos() > 0.0,
            Self::Eyes => (x.abs() - 0.42).hypot(y + 0.18) < 0.27 || (y > 0.35 && x.abs() < 0.4 && y < 0.62),
            Self::Half => y > 0.05,
            Self::Cross => x.abs() < 0.24 || y.abs() < 0.24,
            Self::Wedge => x.abs() < 0.55 * (y + 0.7),
            Self::Target => radius < 0.28 || (0.55..0.85).contains(&radius),
            Self::Crescent => radius < 0.85 && (x - 0.35).hypot(y) > 0.55,
        }
    }
}

impl Emblem {
    /// Colour at a point of the unit disc, `y` down; `pixel` is the size of a pixel there. `hue_shift` is the
    /// instance's own.
    pub(super) fn color(&self, x: f32, y: f32, pixel: f32, hue_shift: f32) -> Rgb {
        let (sin, cos) = self.turn.sin_cos();
        let inked = [(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)]
            .iter()
            .filter(|(dx, dy)| {
                let (x, y) = (x + dx * pixel, y + dy * pixel);
                self.pattern.is_inked(cos * x + sin * y, cos * y - sin * x)
            })
            .count();
        let hue = self.accent + hue_shift;
        let (ground, ink) = if self.is_dark {
            (hsv(hue + 0.5, 0.4, 0.14), hsv(hue, 0.75, 1.0))
        } else {
            (hsv(hue + 0.5, 0.08, 0.97), hsv(hue, 0.95, 0.5))
        };
        super::paint::mix(ground, ink, inked as f32 / 4.0)
    }
}
