//! The place of the control lane in the system's queue for processors.
//!
//! A setpoint whose poll was due waits until a core is free, behind a burst of telemetry, the broker, or a compiler: up to several
//! milliseconds on a machine that is full. A thread of a real-time class does not wait for any other. It needs a permission
//! (`CAP_SYS_NICE`, or `LimitRTPRIO=` of systemd), which is all that a user has to give; without it control runs as everything else does.
//! Linux keeps a twentieth of the time for others whatever a real-time thread does (`sched_rt_runtime_us`).
//! `docs/decisions/018-real-time.md` has what it gives.

use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Of 1 to 99. Below the threads of the kernel that serve interrupts, 50, on which the control lane's own packets depend.
const PRIORITY: u8 = 10;

/// Puts this thread in front of all that is not real-time. Tells in the log what came of it.
pub(super) fn raise() {
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().expect("a constant below 100"));
    let first_in_first_out = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    match set_thread_priority_and_policy(thread_native_id(), priority, first_in_first_out) {
        Ok(()) => tracing::info!(priority = PRIORITY, "control runs at real-time priority"),
        Err(error) => tracing::info!(
            %error,
            hint = "allow it with CAP_SYS_NICE, or LimitRTPRIO=10 in the systemd unit; or set realtime = false under [pipeline]",
            "control runs at normal priority: the system permits no other"
        ),
    }
}

/// Puts this thread, which has the place of the one that started it, where every thread begins.
pub(super) fn lower() {
    let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let middle = ThreadPriority::Crossplatform(50u8.try_into().expect("a constant below 100"));
    // It is always permitted to want less.
    set_thread_priority_and_policy(thread_native_id(), middle, normal).ok();
}
