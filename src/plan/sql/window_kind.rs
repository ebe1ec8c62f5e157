//! The arguments of `TUMBLE`, `HOP`, `CUMULATE`, `CALENDAR` and `SHIFT` as windows, checked at their places in the text.

use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::Spanned;
use lineside_model::options::did_you_mean;
use lineside_model::{Problem, Span};
use lineside_operators::window::calendar::Period;
use lineside_operators::window::{Calendar, WindowKind};

use super::window_call::{Call, wrong};

impl Call {
    /// The windows that are asked for, where they follow from time alone.
    pub(super) fn kind(&self, context: &mut dyn RelationPlannerContext) -> Result<WindowKind> {
        match self.function() {
            "HOP" => self.hop(context),
            "CUMULATE" => self.cumulate(context),
            "CALENDAR" => self.calendar(context),
            "SHIFT" => self.shifts(context),
            _ => {
                let (size, offset) = (self.positive("SIZE", context)?, self.offset(context)?);
                Ok(WindowKind::Tumble { size, offset })
            }
        }
    }

    fn hop(&self, context: &mut dyn RelationPlannerContext) -> Result<WindowKind> {
        let (slide, size) = (self.positive("SLIDE", context)?, self.positive("SIZE", context)?);
        if slide > size {
            let message =
                format!("the slide of {slide} is longer than the window of {size}: rows between would be lost");
            return Err(self.swapped("slide", "SLIDE", message));
        }
        Ok(WindowKind::Hop { size, slide, offset: self.offset(context)? })
    }

    fn cumulate(&self, context: &mut dyn RelationPlannerContext) -> Result<WindowKind> {
        let (step, size) = (self.positive("STEP", context)?, self.positive("SIZE", context)?);
        if step > size {
            return Err(self.swapped(
                "step",
                "STEP",
                format!("the step of {step} is longer than the window of {size}"),
            ));
        }
        if size.micros() % step.micros() != 0 {
            let message = format!("the size of {size} is not a multiple of the step of {step}");
            let hint = "take a step that divides the size, so that the last step ends with the window";
            return Err(wrong(self.argument("STEP")?.span(), message, hint));
        }
        Ok(WindowKind::Cumulate { size, step, offset: self.offset(context)? })
    }

    fn calendar(&self, context: &mut dyn RelationPlannerContext) -> Result<WindowKind> {
        let written = self.text("PERIOD", context)?;
        let Some((period, later)) = Period::parse(&written) else {
            let word = written.split_whitespace().next().unwrap_or_default();
            let hint = match Period::ALL.iter().any(|period| period.word().eq_ignore_ascii_case(word)) {
                true => "only a week has another first day: 'week from sunday'".to_owned(),
                false => did_you_mean(word, Period::ALL.map(Period::word)),
            };
            return Err(wrong(self.argument("PERIOD")?.span(), format!("there is no period \"{written}\""), hint));
        };
        let (zone, offset) = (self.text("ZONE", context)?, self.offset(context)?);
        let calendar = Calendar::of_periods(period, &zone, Span(later.micros() + offset.micros()));
        let calendar = calendar.map_err(|problem| self.problem(&["ZONE", "OFFSET"], &problem))?;
        Ok(WindowKind::Calendar(Arc::new(calendar)))
    }

    fn shifts(&self, context: &mut dyn RelationPlannerContext) -> Result<WindowKind> {
        let (zone, shifts) = (self.text("ZONE", context)?, self.text("SHIFTS", context)?);
        let calendar = Calendar::of_shifts(&shifts, &zone);
        let calendar = calendar.map_err(|problem| self.problem(&["ZONE", "SHIFTS"], &problem))?;
        Ok(WindowKind::Calendar(Arc::new(calendar)))
    }

    /// What is wrong with a zone, or else with the other argument.
    fn problem(&self, arguments: &[&str; 2], problem: &Problem) -> DataFusionError {
        let of_zone = problem.message.contains("time zone");
        let argument = self.given(if of_zone { arguments[0] } else { arguments[1] });
        let place = argument.map_or_else(|| self.place(), Spanned::span);
        wrong(place, problem.message.clone(), problem.hint.clone().unwrap_or_default())
    }

    /// Two lengths that were given in the wrong order.
    fn swapped(&self, name: &str, parameter: &str, message: String) -> DataFusionError {
        let argument = |name: &str| self.given(name).map_or_else(String::new, ToString::to_string);
        let hint = format!(
            "{name} comes first, then size: {}({}, {}, {}, {})",
            self.function(),
            argument("DATA"),
            argument("TIMECOL"),
            argument("SIZE"),
            argument(parameter),
        );
        wrong(self.place(), message, hint)
    }

    fn positive(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<Span> {
        let span = self.span(name, context)?;
        if span <= Span::ZERO {
            let message = format!("the {} of a window must be greater than zero", name.to_lowercase());
            return Err(self.wrong(self.argument(name)?.span(), message));
        }
        Ok(span)
    }

    fn offset(&self, context: &mut dyn RelationPlannerContext) -> Result<Span> {
        if self.given("OFFSET").is_some() { self.span("OFFSET", context) } else { Ok(Span::ZERO) }
    }

    fn text(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<String> {
        let argument = self.argument(name)?;
        let value = context.sql_to_expr(argument.clone(), &DFSchema::empty());
        match value {
            Ok(Expr::Literal(ScalarValue::Utf8(Some(text)), _)) => Ok(text),
            _ => {
                Err(self.wrong(argument.span(), format!("the {} of a window is a text in quotes", name.to_lowercase())))
            }
        }
    }
}
