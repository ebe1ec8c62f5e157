//! The verbs of the command that only look: `check`, `explain`, `schema`, `list`.

use std::process::{Command, Output};

use lineside::plan::Registries;
use serde_json::Value;

fn lineside(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lineside")).args(arguments).output().expect("the command was built with the tests")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_tells_problems_with_exit_code_1() {
    let file = "tests/config_errors/no_sink/pipeline.toml";
    let told = lineside(&["check", file]);
    assert_eq!(told.status.code(), Some(1));
    let stderr = text(&told.stderr);
    assert!(stderr.starts_with(file) && stderr.contains("found"), "{stderr}");
    assert!(told.stdout.is_empty());
}

#[test]
fn check_tells_problems_as_json() {
    let told = lineside(&["check", "--json", "tests/config_errors/syntax/pipeline.toml"]);
    assert_eq!(told.status.code(), Some(1));
    let problems = serde_json::from_slice::<Vec<Value>>(&told.stdout).expect("a JSON array");
    assert_eq!(problems.first().map(|p| (p["line"].clone(), p["column"].clone())), Some((2.into(), 13.into())));
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_2() {
    for verb in ["check", "explain", "run"] {
        let told = lineside(&[verb, "tests/absent.toml"]);
        assert_eq!(told.status.code(), Some(2));
        let stderr = text(&told.stderr);
        assert!(stderr.starts_with("error: pipeline file \"tests/absent.toml\" was not read: "), "{stderr}");
    }
}

#[test]
fn list_shows_everything_there_is_with_its_options() {
    let registries = Registries::BUILD;
    let names = registries.connectors.iter().map(|kind| kind.name());
    let names = names.chain(registries.codecs.iter().map(|kind| kind.name()));
    let names = names.chain(registries.operators.iter().map(|kind| kind.name()));
    let all = lineside(&["list"]);
    assert_eq!(all.status.code(), Some(0));
    for name in names {
        assert!(text(&all.stdout).contains(&format!("  {name} ")), "{name} is not listed");
        let one = lineside(&["list", name]);
        assert!(one.status.success() && text(&one.stdout).contains("example"), "{name}: {}", text(&one.stderr));
    }
    assert_eq!(lineside(&["list", "nothing-of-this-name"]).status.code(), Some(2));
}

#[test]
fn examples_of_all_kinds_are_toml() {
    let registries = Registries::BUILD;
    let examples = registries.connectors.iter().map(|kind| (kind.name(), kind.example()));
    let examples = examples.chain(registries.codecs.iter().map(|kind| (kind.name(), kind.example())));
    let examples = examples.chain(registries.operators.iter().map(|kind| (kind.name(), kind.example())));
    for (name, example) in examples {
        assert!(toml::from_str::<toml::Table>(example).is_ok(), "the example of {name} is no TOML:\n{example}");
    }
}

#[test]
fn the_schema_is_json() {
    let schema = lineside(&["schema"]);
    let schema = serde_json::from_slice::<Value>(&schema.stdout).expect("JSON");
    assert_eq!(schema["title"], "lineside pipeline");
}
