//! Who may know whom, read from the manifests and the `use` lines: the picture in ARCHITECTURE.md, enforced.

use std::fs;
use std::path::{Path, PathBuf};

/// Our crates, and which of our crates each may depend on outside its tests.
const CRATES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("operators", &["model"]),
    ("connectors", &["model"]),
    ("loadtest", &["model"]),
    (".", &["model", "operators", "connectors", "loadtest"]),
];

/// Modules of `src/`, each with the ones it may import from.
const MODULES: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("observe", &[]),
    ("config", &[]),
    ("plan", &["config"]),
    ("graph", &["plan", "observe"]),
    ("run", &["graph", "plan", "observe", "clock"]),
    ("cli", &["run", "graph", "plan", "config", "observe", "clock"]),
];

/// What a crate that must be pure may not depend on.
const IMPURE: &[&str] =
    &["tokio", "datafusion", "rdkafka", "rumqttc", "tokio-modbus", "async-trait", "futures", "tracing"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn dependencies(krate: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(krate).join("Cargo.toml")).expect("every crate has a manifest");
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some(name) = line.split(['.', ' ', '=']).next().filter(|n| !n.is_empty()) {
            found.push(name.to_owned());
        }
    }
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder can be listed").flatten().map(|entry| entry.path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn crates_depend_only_downwards() {
    for (krate, allowed) in CRATES {
        for dependency in dependencies(krate) {
            if let Some(ours) = dependency.strip_prefix("lineside-") {
                assert!(allowed.contains(&ours), "{krate} depends on {ours}; it may only know {allowed:?}");
            }
        }
    }
}

#[test]
fn the_vocabulary_and_the_operators_are_pure() {
    for krate in ["model", "operators"] {
        for dependency in dependencies(krate) {
            assert!(
                !IMPURE.contains(&dependency.as_str()),
                "{krate} depends on {dependency}, which does I/O, async or SQL"
            );
        }
    }
}

#[test]
fn modules_import_only_from_modules_below() {
    for (module, allowed) in MODULES {
        let folder = root().join("src").join(module);
        let files = if folder.is_dir() { rust_files(&folder) } else { vec![root().join(format!("src/{module}.rs"))] };
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            for (number, line) in text.lines().enumerate() {
                let Some(at) = line.find("crate::") else { continue };
                let name = line[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
                let known = MODULES.iter().any(|(m, _)| *m == name);
                assert!(
                    !known || name == *module || allowed.contains(&name),
                    "{}:{}: {module} imports from {name}; it may only import from {allowed:?}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}
