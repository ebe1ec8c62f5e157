//! Each folder of `tests/config_errors` is a pipeline with mistakes and what the user is told about them.
//! `UPDATE_EXPECT=1` writes the expectations anew.

use std::path::{Path, PathBuf};

use lineside::config::{Config, Report};
use lineside::plan::{Plan, build};

use crate::kinds;

/// The environment of every case.
pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "PLC_HOST" => Some("10.0.0.7".to_owned()),
        "PLC_PASSWORD" => Some("correct-horse".to_owned()),
        _ => None,
    }
}

/// The folders of a kind of case, in order.
pub(crate) fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests").join(folder);
    let entries = std::fs::read_dir(&folder).expect("the tests run in the folder of the package");
    let mut cases = entries.map(|entry| entry.expect("a folder that can be listed").path()).collect::<Vec<_>>();
    cases.retain(|case| case.join("pipeline.toml").exists());
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    cases
}

/// Plans the pipeline of a case.
pub(crate) fn plan(case: &Path) -> Result<Plan, Report> {
    let file = case.join("pipeline.toml");
    let text = std::fs::read_to_string(&file).expect("each case has a pipeline");
    build(&Config::parse(&file, text, &environment)?, &kinds::registries())
}

/// Compares with the expectation of a case. Paths are shown as from within its folder.
pub(crate) fn expect(case: &Path, told: &str) {
    let told = told.replace(&format!("{}/", case.display()), "");
    let expected = std::env::current_dir().expect("a working directory").join(case).join("expected.txt");
    expect_test::expect_file![expected].assert_eq(&told);
}

#[test]
fn every_mistake_is_told_with_its_place_and_cure() {
    for case in cases("config_errors") {
        match plan(&case) {
            Ok(_) => panic!("{}: was accepted", case.display()),
            Err(report) => expect(&case, &report.to_string()),
        }
    }
}

#[test]
fn no_secret_is_shown_in_any_form() {
    for case in cases("config_errors") {
        let Err(report) = plan(&case) else { continue };
        for shown in [report.to_string(), report.to_json().to_string(), format!("{report:?}")] {
            for secret in ["correct-horse", "battery-staple"] {
                assert!(!shown.contains(secret), "{}: {shown}", case.display());
            }
        }
    }
}

#[test]
fn a_damaged_file_is_told_about_and_never_panics() {
    for case in cases("config_errors").into_iter().chain(cases("explain")) {
        let file = case.join("pipeline.toml");
        let whole = std::fs::read_to_string(&file).expect("each case has a pipeline");
        for at in whole.char_indices().map(|(at, _)| at).step_by(11) {
            let cut = whole[..at].to_owned();
            let swapped = format!("{}\"{}", &whole[..at], whole[at..].chars().skip(1).collect::<String>());
            for damaged in [cut, swapped] {
                if let Ok(config) = Config::parse(&file, damaged, &environment)
                    && let Err(report) = build(&config, &kinds::registries())
                {
                    assert!(!report.is_empty() && !report.to_string().is_empty());
                }
            }
        }
    }
}
