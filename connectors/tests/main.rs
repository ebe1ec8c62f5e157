//! Every connector against a real peer, every codec against good and bad messages.

mod codecs;
mod modbus;
mod mqtt;
