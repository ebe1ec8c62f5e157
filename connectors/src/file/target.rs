//! Which file is being written, under which name it is seen, and what it is called when it is complete.
//!
//! A file grows as `NAME.partial` in its own folder and gets its name in one step when it is complete, so that nobody ever reads
//! half of it. A file that is appended to has its name from the start. All calls block, so they run on a blocking thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::tail::Tail;

/// The names of a file that is written.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// What the user wrote.
    pub(super) path: PathBuf,
    /// Whether the file has its name from the start.
    pub(super) append: bool,
    /// Whether files are numbered.
    pub(super) rotates: bool,
    /// Whether a torn last line is cut off.
    pub(super) lines: bool,
}

impl Names {
    /// The name while it grows.
    pub(super) fn live(&self) -> PathBuf {
        if self.append {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        name.into()
    }

    /// The first free name with a number: `NAME-0001.csv`, or `NAME.WHY-0001.csv`.
    fn numbered(&self, why: &str) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = self.path.extension().unwrap_or_default().to_string_lossy();
        let name = |n: u32| self.path.with_file_name(format!("{stem}{why}-{n:04}.{extension}"));
        (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
    }

    /// Opens the file that grows. What an earlier run left unfinished is kept under a name of its own.
    ///
    /// # Errors
    /// The folder is not there, or may not be written.
    pub(super) fn open(&self) -> io::Result<Tail<File>> {
        let live = self.live();
        if !self.append && live.exists() {
            let left = OpenOptions::new().read(true).write(true).open(&live)?;
            let len = if self.lines { whole_lines(&left)? } else { left.metadata()?.len() };
            left.set_len(len)?;
            if len == 0 {
                fs::remove_file(&live)?;
            } else {
                let kept = self.numbered(if self.rotates && self.lines { "" } else { ".interrupted" });
                fs::rename(&live, &kept)?;
                tracing::warn!(file = %kept.display(), "an earlier run did not complete its file; it is kept under this name");
            }
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(!self.append).open(&live)?;
        let mut len = 0;
        if self.append && file.metadata()?.is_file() {
            len = whole_lines(&file)?;
            if len < file.metadata()?.len() {
                tracing::warn!(file = %live.display(), "the last line was torn; it is cut off");
                file.set_len(len)?;
            }
        }
        sync_folder(&live)?;
        Ok(Tail::new(file, len))
    }

    /// Gives a complete file its name. `again`: it is not the first of this run.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(super) fn complete(&self, again: bool) -> io::Result<()> {
        let name = match (self.append, self.rotates) {
            (true, false) => return Ok(()),
            (_, true) => self.numbered(""),
            // A second file of the same run must not take the place of the first.
            (false, false) if again => self.numbered(""),
            (false, false) => self.path.clone(),
        };
        fs::rename(self.live(), &name)?;
        sync_folder(&name)
    }
}

/// A new name is only safe when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// How long a file is without a torn last line.
fn whole_lines(mut file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(piece.len() as u64);
        let part = &mut piece[..usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(at) = memchr::memrchr(b'\n', part) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
