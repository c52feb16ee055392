//! dis-bench
