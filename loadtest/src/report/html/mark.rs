//! What stands still in a chart: limits, answers, and single points.

/// Something that stands still, such as a limit.
#[derive(Debug)]
pub(super) struct Mark {
    /// What it is; stands beside it.
    pub(super) name: String,
    /// The class that gives its colour.
    pub(super) class: String,
    /// Where it stands.
    pub(super) at: At,
}

/// Where a mark stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// From left to right, at this value of the left axis.
    Height(f64),
    /// From bottom to top, at this value of the lower axis.
    Place(f64),
    /// At this place and height; its name is not written.
    Point(Shape, f64, f64),
}

/// What a point looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Bar,
    Dot,
    Cross,
    Ring,
}

impl Shape {
    /// Its path from the middle.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Bar => "m-8 0h16",
            // A line of no length, which round ends show as a dot.
            Self::Dot => "h0",
            Self::Cross => "m-3.5 -3.5l7 7m0 -7l-7 7",
            Self::Ring => "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0",
        }
    }

    /// The class that draws it as it is meant.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Bar => "bar",
            Self::Dot => "line dot",
            Self::Cross | Self::Ring => "line",
        }
    }
}
