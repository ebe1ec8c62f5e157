//! The clock of a cyclic scan: it ticks on a fixed schedule that nothing can shift.
//!
//! A poll every 100 ms is due at 0, 100, 200 ms… after the start, however long each poll took and however late the machine
//! woke us. A due time that was missed is counted and skipped, never made up for in a burst. Built on the kernel's timerfd,
//! since the runtime's own timer counts in milliseconds and wakes up to 1.5 ms late.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use lineside_model::Span;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer on a fixed schedule. Linux only.
#[derive(Debug)]
pub struct ScanTimer {
    fd: AsyncFd<OwnedFd>,
    period: Span,
    /// The newest due time that was told of, in microseconds of the machine's monotonic clock.
    due: i64,
}

/// One or more due times have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// How many due times have passed since the tick before: 1, or more if some were missed.
    pub periods: u64,
    /// How long ago the newest of them was: what waking up cost.
    pub late: Span,
}

impl ScanTimer {
    /// A timer whose first tick is due at once and then every `period` (at least a microsecond).
    ///
    /// # Errors
    /// If the kernel gives no timer (out of file descriptors), or outside a tokio runtime with I/O.
    pub fn start(period: Span) -> io::Result<Self> {
        let period = period.max(Span::from_micros(1));
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let first = clock_gettime(ClockId::Monotonic);
        let interval = Timespec { tv_sec: period.micros() / 1_000_000, tv_nsec: period.micros() % 1_000_000 * 1_000 };
        timerfd_settime(&fd, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: interval, it_value: first })?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that change their descriptor (tokio pull request 8587); an OwnedFd does not"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd, period, due: micros(first) - period.micros() })
    }

    /// The time between two ticks.
    pub fn period(&self) -> Span {
        self.period
    }

    /// Waits for the next due time, or tells at once of those that have passed. Cancel-safe.
    ///
    /// # Errors
    /// If the kernel fails to read the timer.
    pub async fn tick(&mut self) -> io::Result<Tick> {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`ScanTimer::tick`], for waiting on several timers at once.
    ///
    /// # Errors
    /// If the kernel fails to read the timer.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Tick>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            let mut count = [0u8; 8];
            match rustix::io::read(&self.fd, &mut count) {
                Ok(_) => {
                    // Nothing is left to read: that need not be found out by reading again.
                    ready.clear_ready();
                    return Poll::Ready(Ok(self.passed(u64::from_ne_bytes(count))));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn passed(&mut self, periods: u64) -> Tick {
        let passed = self.period.micros().saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
        self.due = self.due.saturating_add(passed);
        let late = micros(clock_gettime(ClockId::Monotonic)).saturating_sub(self.due);
        Tick { periods, late: Span::from_micros(late.max(0)) }
    }
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missed_due_times_are_counted_and_do_not_shift_later_ones() {
        let mut scan = ScanTimer::start(Span::from_millis(5)).expect("a timer");
        let mut other = ScanTimer::start(Span::from_millis(23)).expect("a timer");
        assert_eq!(scan.tick().await.expect("a tick").periods, 1);
        // The second tick of the other timer comes 23 ms after the start: 5, 10, 15 and 20 ms have passed meanwhile.
        for _ in 0..2 {
            other.tick().await.expect("a tick");
        }
        let missed = scan.tick().await.expect("a tick");
        assert!(missed.periods >= 4, "{missed:?}");
        assert!(missed.late >= Span::ZERO, "{missed:?}");
        // It waits for the next due time, which is the same as ever.
        assert!(scan.tick().await.expect("a tick").periods >= 1);
    }
}
