//! Each folder of `tests/explain` is a pipeline and what `lineside explain` says of it, with its warnings.

use std::path::PathBuf;

use lineside::config::Config;
use lineside::graph::Layout;
use lineside::plan::{Registries, build, file_schema};
use serde_json::Value;

use crate::config_errors::{cases, expect, plan};
use crate::kinds;

#[test]
fn a_plan_is_explained() {
    for case in cases("explain") {
        match plan(&case) {
            Ok(plan) => {
                let text = format!("{}{}{}", plan.warnings, plan.explain(), Layout::of(&plan).explain(&plan));
                assert!(!text.contains("correct-horse"), "{text}");
                expect(&case, &text);
            }
            Err(report) => panic!("{}: {report}", case.display()),
        }
    }
}

#[test]
fn every_pipeline_among_the_examples_is_free_of_problems() {
    let mut open = vec![PathBuf::from("examples")];
    let mut checked = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("the tests run in the folder of the package");
            open.extend(entries.map(|entry| entry.expect("a folder that can be listed").path()));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let config = Config::load(&path, &|_| None).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
            match build(&config, &Registries::BUILD) {
                Ok(plan) => assert!(plan.warnings.is_empty(), "{}", plan.warnings),
                Err(report) => panic!("{report}"),
            }
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn every_reference_in_the_schema_of_the_file_leads_somewhere() {
    let schema = file_schema(&kinds::registries());
    let mut pending = vec![&schema];
    let mut references = 0;
    while let Some(at) = pending.pop() {
        if let Some(pointer) = at.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            assert!(schema.pointer(pointer).is_some(), "{pointer} leads nowhere");
            references += 1;
        }
        pending.extend(at.as_object().into_iter().flat_map(|map| map.values()));
        pending.extend(at.as_array().into_iter().flatten());
    }
    assert!(references > 0);
    assert_eq!(
        schema.pointer("/properties/source/additionalProperties/oneOf/0/additionalProperties"),
        Some(&false.into())
    );
}
