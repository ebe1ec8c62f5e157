//! Real servers for tests: started on free ports of the loopback interface, stopped when they go out of scope.

pub mod kafka;
pub mod mosquitto;
