//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::Loops;
const NAME: &str = "hostile-loops";
