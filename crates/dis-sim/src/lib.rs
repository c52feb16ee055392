//! Scheduling in virtual time.
//!
//! [`generate`] makes random task sets for experiments with the analyses of `dis_core::admission`.
#![forbid(unsafe_code)]

pub mod generate;
