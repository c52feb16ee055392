//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::Allocates;
const NAME: &str = "hostile-allocates";
