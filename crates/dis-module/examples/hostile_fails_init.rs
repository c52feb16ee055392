//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::FailsInit;
const NAME: &str = "hostile-fails-init";
