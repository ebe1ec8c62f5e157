//! What stands for another machine does not wait for the processors of this one.
//!
//! A simulated PLC shares its cores with the broker, the feeders and the engine. Where it waits behind a burst of 10,000 messages, a
//! setpoint seems late that a real PLC would have had. So its thread has real-time priority, in front of the engine's, where the system
//! permits it (`CAP_SYS_NICE`); it has little to do.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Of 1 to 99, and above that of the engine, whose thread it must not wait for either.
const PRIORITY: u8 = 20;

/// Sets this thread apart, if that is permitted. Without it runs as everything else does, and the latencies are those of a full
/// machine; what a run says of its machine tells which.
pub(crate) fn set_apart() -> bool {
    let priority = ThreadPriority::Crossplatform(PRIORITY.try_into().expect("a constant below 100"));
    let first_in_first_out = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), priority, first_in_first_out).is_ok()
}
