//! dis-runtime
