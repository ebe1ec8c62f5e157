//! The place of the control lane in the system's queue for processors.
//!
//! A setpoint whose poll was due waits until a core is free, behind a burst of telemetry, the broker, or a compiler: up to several
//! milliseconds on a machine that is full. A thread of a real-time class goes in front of all others. It needs a permission
//! (`CAP_SYS_NICE`, or `LimitRTPRIO=` of systemd), which is all that a user has to give; without it control runs as everything else does.
//! Linux keeps a twentieth of the time for others whatever a real-time thread does (`sched_rt_runtime_us`).
//! `docs/decisions/018-real-time.md` has what it gives.

use std::fs;

use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Of 1 to 99: in front of all programs that ask for nothing, and behind the kernel's own threads, which begin at 50.
const PRIORITY: u8 = 10;

/// The policy of threads that ask for nothing.
const NORMAL: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);

/// Puts this thread in front of all that is not real-time, if the system permits it. Tells in the log what came of it.
pub(super) fn raise() -> bool {
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().expect("a constant below 100"));
    let first_in_first_out = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let raised = set_thread_priority_and_policy(thread_native_id(), priority, first_in_first_out);
    match &raised {
        Ok(()) => tracing::info!(priority = PRIORITY, "control runs at real-time priority"),
        Err(error) => tracing::info!(
            %error,
            hint = "docs/control.md tells how to permit it; realtime = false under [pipeline] does without",
            "control runs at normal priority: the system permits no other"
        ),
    }
    raised.is_ok()
}

/// Takes back for this thread, which has the priority of the one that started it, what [`raise`] did; it stays as nice as the process.
pub(super) fn lower() {
    let nice = nice().unwrap_or(0);
    // The library counts from 0 to 99 and says what that is on the system's scale, from 19 to -20.
    let mut priorities = (0..100u8).filter_map(|n| n.try_into().ok()).map(ThreadPriority::Crossplatform);
    if let Some(same) = priorities.find(|priority| priority.to_posix(NORMAL).is_ok_and(|found| found == nice)) {
        // To want less is always permitted.
        set_thread_priority_and_policy(thread_native_id(), same, NORMAL).ok();
    }
}

/// How nice this thread is to others: -20 to 19.
fn nice() -> Option<i32> {
    let stat = fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name of the thread, which may have blanks, ends with the last bracket; behind it comes field 3, and nice is field 19.
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_lowered_is_as_nice_as_before_and_not_real_time() {
        std::thread::spawn(|| {
            let before = nice().expect("there is /proc");
            // Whether or not that is permitted here.
            raise();
            lower();
            assert_eq!(nice(), Some(before));
            assert_eq!(thread_priority::thread_schedule_policy(), Ok(NORMAL));
        })
        .join()
        .expect("it holds");
    }
}
