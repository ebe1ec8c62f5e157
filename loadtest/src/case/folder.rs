//! The folder of a case: where it is found, and its files, filled in and read.

use std::path::{Path, PathBuf};

use lineside_model::options::did_you_mean;
use lineside_model::{Error, Result};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::parameters::Parameters;
use super::template::Filler;

/// Where cases are, seen from the root of the repository; and where they were when this was built.
const FOLDERS: [&str; 2] = ["loadtest/cases", concat!(env!("CARGO_MANIFEST_DIR"), "/cases")];
pub(super) const CASE: &str = "case.toml";
pub(super) const PIPELINE: &str = "pipeline.toml";

/// The folder of a case, by its name or its path.
///
/// # Errors
/// There is no such case.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    let places = [PathBuf::from(name)].into_iter().chain(FOLDERS.iter().map(|folder| Path::new(folder).join(name)));
    places.into_iter().find(|folder| folder.join(CASE).is_file()).ok_or_else(|| {
        let known = known();
        Error::user(format!("there is no load case \"{name}\""))
            .hint(did_you_mean(name, known.iter().map(String::as_str)))
    })
}

/// The cases that there are.
pub(super) fn known() -> Vec<String> {
    let folder = FOLDERS.iter().find_map(|folder| std::fs::read_dir(folder).ok());
    let mut names = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(CASE).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    names.sort();
    names
}

/// The files of a case with its parameters filled in, in a folder of their own.
pub(super) fn fill(folder: &Path, parameters: &Parameters) -> Result<TempDir> {
    let cannot = |what: &Path, error: std::io::Error| {
        Error::external(format!("cannot fill in {}", what.display())).caused_by(error)
    };
    let filled = tempfile::tempdir().map_err(|error| cannot(folder, error))?;
    let mut filler = Filler::new(parameters);
    for entry in std::fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
        let file = entry.map_err(|error| cannot(folder, error))?.path();
        let Some(name) = file.file_name().filter(|_| file.is_file()) else { continue };
        let bytes = std::fs::read(&file).map_err(|error| cannot(&file, error))?;
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => {
                let text = filler.fill(&text).map_err(|error| error.of(file.display()))?;
                text.into_bytes()
            }
            // A file that is no text names no parameter.
            Err(no_text) => no_text.into_bytes(),
        };
        std::fs::write(filled.path().join(name), bytes).map_err(|error| cannot(&file, error))?;
    }
    match filler.unused() {
        None => Ok(filled),
        Some(name) => {
            Err(Error::user(format!("{}: parameter \"{name}\" is used nowhere", folder.join(CASE).display()))
                .hint(format!("write \"${{{name}}}\" in a file of the case, or take it out")))
        }
    }
}

pub(super) fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::user(format!("cannot read {}", file.display())).caused_by(error))
}

pub(super) fn parse_toml<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Error::user(error.message().to_owned()).of(place(file, text, at))
    })
}

/// File, line and column of a byte.
pub(super) fn place(file: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", file.display())
}

#[cfg(test)]
mod tests {
    use crate::case::Case;

    use super::*;

    #[test]
    fn every_case_of_the_project_can_be_read() {
        let cases = known();
        assert!(!cases.is_empty());
        for name in cases {
            let case = Case::open(&name).expect("it is right");
            assert!(!case.limits.is_empty(), "{name} holds nothing");
        }
    }

    #[test]
    fn parameters_are_filled_into_all_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        write(
            CASE,
            "goal = \"${sensors} sensors\"\nseconds = 5\n[parameters]\nsensors = 100\nplcs = 2\n\
             [feed.plant]\nmessages = { sensors = \"${sensors}\" }\n",
        );
        write(PIPELINE, "# for plc in 0..${plcs}\n[source.\"s${plc}\"]\nconnector = \"mqtt\"\n# end\n");
        let with = |name: &str, text: &str| Case::read(folder.path(), &[(name.to_owned(), text.to_owned())]);
        let case = with("sensors", "5000").expect("it is right");
        assert_eq!((case.goal.as_str(), case.feeds["plant"].messages.sensors), ("5000 sensors", 5_000));
        assert_eq!(case.mqtt_sources, 2);
        assert_eq!(with("plcs", "3").expect("it is right").mqtt_sources, 3);
        let pipeline = std::fs::read_to_string(&case.pipeline).expect("it lasts as long as the case");
        assert!(pipeline.starts_with("[source.\"s0\"]"), "{pipeline}");
        let told = |name: &str, text: &str| with(name, text).expect_err("it is wrong").to_string();
        assert!(told("plc", "3").ends_with("case.toml: there is no parameter \"plc\"; there are plcs, sensors"));
        assert!(told("plcs", "x").ends_with("parameter \"plcs\" expects a whole number, found \"x\""));
        assert!(told("sensors", "0").ends_with("feed \"plant\": option \"sensors\" expects at least 1, found 0"));
        write(PIPELINE, "[source.s0]\nconnector = \"mqtt\"\n");
        assert!(told("sensors", "5").ends_with("case.toml: parameter \"plcs\" is used nowhere"));
        write(PIPELINE, "[source.s0]\nconnector = \"${kind}\"\n");
        assert!(
            told("sensors", "5")
                .ends_with("pipeline.toml: line 2: there is no parameter \"kind\"; there are plcs, sensors")
        );
    }
}
