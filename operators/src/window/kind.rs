//! How windows follow one another.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use lineside_model::{Problem, Problems, Span};

use super::assign::SPAN_LIMIT;
use super::calendar::Calendar;
use super::columns::edges;
use super::{OVERLAP_LIMIT, SHIFT};

/// How windows follow one another. All but those of a calendar are aligned to 1970-01-01T00:00:00Z, plus the offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// One after the other.
    Tumble {
        /// How long each is.
        size: Span,
        /// What their starts are shifted by.
        offset: Span,
    },
    /// A new one every `slide`, overlapping if that is less than `size`. If it is more, readings between two windows are
    /// counted as filtered.
    Hop {
        /// How long each is.
        size: Span,
        /// How long after the start of one the next starts.
        slide: Span,
        /// What their starts are shifted by.
        offset: Span,
    },
    /// One after the other, and of each also its first part, one step long, two steps long and so on.
    Cumulate {
        /// How long each is at last, a multiple of the step.
        size: Span,
        /// What they grow by.
        step: Span,
        /// What their starts are shifted by.
        offset: Span,
    },
    /// Days, weeks … or shifts by the wall clock of a time zone.
    Calendar(Arc<Calendar>),
}

impl WindowKind {
    /// No window is longer.
    pub fn longest(&self) -> Span {
        match self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } | Self::Cumulate { size, .. } => *size,
            Self::Calendar(calendar) => calendar.longest(),
        }
    }

    /// Whether windows have names, put out as the column [`SHIFT`].
    pub fn has_names(&self) -> bool {
        matches!(self, Self::Calendar(calendar) if calendar.has_names())
    }

    /// Windows that a row belongs to at most.
    pub fn overlap(&self) -> i64 {
        match self {
            Self::Tumble { .. } | Self::Calendar(_) => 1,
            Self::Hop { size, slide: step, .. } | Self::Cumulate { size, step, .. } => {
                size.micros() / step.micros().max(1) + i64::from(size.micros() % step.micros().max(1) != 0)
            }
        }
    }

    /// The columns of the window itself.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = edges();
        fields.extend(self.has_names().then(|| Field::new(SHIFT, DataType::Utf8, false)));
        fields
    }

    /// What all starts are shifted by.
    pub(super) fn offset(&self) -> Span {
        match self {
            Self::Tumble { offset, .. } | Self::Hop { offset, .. } | Self::Cumulate { offset, .. } => *offset,
            Self::Calendar(_) => Span::ZERO,
        }
    }

    /// Checks its spans.
    pub(super) fn check(&self, problems: &mut Problems) {
        let (size, step, what) = match self {
            Self::Tumble { size, .. } => (*size, *size, "size"),
            Self::Hop { size, slide, .. } => (*size, *slide, "slide"),
            Self::Cumulate { size, step, .. } => (*size, *step, "step"),
            Self::Calendar(_) => return,
        };
        let mut sound = true;
        for (what, span) in [("size", size), (what, step)] {
            if span <= Span::ZERO || span > SPAN_LIMIT {
                let problem = Problem::whole(format!("the window's {what} must be positive, found {span}"));
                problems.push(problem.hint("write a duration such as INTERVAL '10' SECOND, below 36,000 years"));
                sound = false;
            }
            if what == "size" && step == size {
                break;
            }
        }
        if !sound {
            return;
        }
        if size.micros() / step.micros() > OVERLAP_LIMIT {
            let problem = format!("windows of {size} every {step} put each row into more than {OVERLAP_LIMIT} windows");
            problems.push(Problem::whole(problem).hint(format!("use a longer {what} or a shorter size")));
        }
        if matches!(self, Self::Cumulate { .. }) && size.micros() % step.micros() != 0 {
            let problem = format!("the window's size of {size} is not a multiple of its step of {step}");
            problems.push(
                Problem::whole(problem).hint("take a step that divides the size, so that the last step ends with it"),
            );
        }
    }
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tumble { size, .. } => write!(f, "tumbling windows of {size}")?,
            Self::Hop { size, slide, .. } if size == slide => write!(f, "tumbling windows of {size}")?,
            Self::Hop { size, slide, .. } => write!(f, "windows of {size} every {slide}")?,
            Self::Cumulate { size, step, .. } => write!(f, "windows up to {size} growing by {step}")?,
            Self::Calendar(calendar) => write!(f, "{calendar}")?,
        }
        match self.offset() {
            Span::ZERO => Ok(()),
            offset => write!(f, " with offset {offset}"),
        }
    }
}
