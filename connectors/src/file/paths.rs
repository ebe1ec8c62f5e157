//! Which files a path means, and under which name a position remembers each.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The files that `written` means: one, or those whose name fits the `*` in the last part, in the order of their names.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn files(folder: &Path, written: &str) -> io::Result<Vec<PathBuf>> {
    let path = folder.join(written);
    let (Some(pattern), true) = (path.file_name().and_then(OsStr::to_str), written.contains('*')) else {
        return Ok(vec![path]);
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path.parent().unwrap_or(folder))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| fits(name, pattern)) && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a `*` stands only where it may: in the last part of the path.
pub(super) fn star_is_last(written: &str) -> bool {
    Path::new(written).parent().is_none_or(|parent| !parent.to_string_lossy().contains('*'))
}

/// The name of a file in a position: as seen from the pipeline file, so that it stays the same wherever the command is started.
pub(super) fn key(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
}

/// Whether `name` fits `pattern`, in which each `*` stands for any text.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (name, pattern, expected) in [
            ("a.csv", "a.csv", true),
            ("a.csv", "*.csv", true),
            ("a.csv.gz", "*.csv", false),
            ("day-01-press.csv", "day-*-*.csv", true),
            ("day-01.csv", "day-*-*.csv", false),
            ("ab", "ab*b", false),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
