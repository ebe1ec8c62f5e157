//! Waking up when a message is due.
//!
//! The runtime's own timer counts whole milliseconds; at 10,000 messages a second that is ten messages late. This is the
//! kernel's timerfd, which has no slack either.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::clock;

/// Wakes up at a point in time.
#[derive(Debug)]
pub(super) struct Pace {
    timer: AsyncFd<OwnedFd>,
}

impl Pace {
    pub(super) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that change their descriptor (tokio pull request 8587); an OwnedFd does not"
        )]
        let timer = AsyncFd::new(fd)?;
        Ok(Self { timer })
    }

    /// Waits until then; not at all if that has passed.
    pub(super) async fn until(&self, at: Instant) -> io::Result<()> {
        let wait = at.saturating_duration_since(clock::monotonic());
        if wait == Duration::ZERO {
            return Ok(());
        }
        let it_value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        loop {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|fd| rustix::io::read(fd.get_ref(), &mut [0u8; 8]).map_err(io::Error::from));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}
