//! One `[operator.NAME]` planned, and the files that operators may read while they are planned.

use std::path::PathBuf;

use lineside_model::{Problems, parse_options};
use lineside_operators::operator::{Files, InputRows};
use lineside_operators::{OperatorKind, PlannedOperator};
use serde_json::Value;

use super::Registries;
use super::options::{Options, find, keep};
use crate::config::Object;
use crate::config::options::OperatorOptions;

/// The largest file an operator may read: a loop table of a whole plant is a thousandth of it.
const FILE_BYTES_MOST: u64 = 64 << 20;

/// Plans an operator. Without an input, because there is something wrong with it, as much is checked as can be.
pub(super) fn plan_operator(
    object: &Object,
    input: Option<&InputRows>,
    registries: &Registries<'_>,
    files: &dyn Files,
) -> Result<Option<PlannedOperator>, Problems> {
    let mut problems = Problems::default();
    let mut options = Options::of::<OperatorOptions>(object);
    keep(parse_options::<OperatorOptions>(&options.common), &mut problems);
    let kind = find(object, "type", "operator", registries.operators, OperatorKind::name, &mut problems);
    let planned = kind.and_then(|kind| {
        options.check_names(kind.options().as_value(), &mut problems);
        keep(kind.plan(&Value::Object(options.own), input?, files), &mut problems)
    });
    problems.or(planned)
}

/// The files beside the pipeline file.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Files for Folder {
    fn read(&self, name: &str) -> Result<String, String> {
        let path = self.path(name);
        let wrong = |error: std::io::Error| format!("file \"{}\" was not read: {error}", path.display());
        if std::fs::metadata(&path).map_err(wrong)?.len() > FILE_BYTES_MOST {
            return Err(format!("file \"{}\" is larger than {} MiB", path.display(), FILE_BYTES_MOST >> 20));
        }
        std::fs::read_to_string(&path).map_err(wrong)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
