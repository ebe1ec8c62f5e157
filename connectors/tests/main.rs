//! Conformance of the connectors, each against a peer.

mod modbus;
