//! Wakes up when something happens in the folder of a followed file.
//!
//! The kernel tells (inotify); where it cannot, as with most network shares, we look once a second.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use lineside_model::{Error, Result};
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

/// How long we wait at most for the kernel to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches a folder.
#[derive(Debug)]
pub(super) struct Watch {
    events: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches the folder of `path`.
    ///
    /// # Errors
    /// The folder is not there, or the machine has no watch left.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let open = || -> std::io::Result<_> {
            let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
            let what = inotify::WatchFlags::MODIFY
                | inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_FROM
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE;
            inotify::add_watch(&fd, folder, what)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe to call; an owned descriptor stays open as long as it is registered"
            )]
            AsyncFd::new(fd)
        };
        let events = open()
            .map_err(|e| Error::external(format!("cannot watch folder \"{}\"", folder.display())).caused_by(e))?;
        Ok(Self { events })
    }

    /// Waits until something has happened since the last call. Cancel-safe.
    ///
    /// # Errors
    /// The watch broke.
    pub(super) async fn changed(&self) -> Result<()> {
        let broke = |e: std::io::Error| Error::external("cannot watch the file").caused_by(e);
        let Ok(ready) = tokio::time::timeout(LOOK_EVERY, self.events.readable()).await else { return Ok(()) };
        let mut ready = ready.map_err(broke)?;
        // What happened does not matter, only that it did: the events are read to be forgotten.
        let mut space = [0; 4096];
        loop {
            let read = ready.try_io(|fd| rustix::io::read(fd.get_ref(), &mut space[..]).map_err(Into::into));
            match read {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(broke(e)),
                Err(_would_block) => return Ok(()),
            }
        }
    }
}
