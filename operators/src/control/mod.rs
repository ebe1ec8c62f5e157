//! Control: what should be done, given what is measured. An output decides later what may be done.

pub mod loop_table;
pub mod loops;
pub mod pid;
pub mod running;
pub mod table;

pub use loop_table::{Loop, Setpoint};
pub use loops::PidLoops;
pub use pid::{Pid, PidParams, PidSample, PidState};
pub use running::Running;
