//! Every codec against good messages and against each kind of bad one.
