//! dis-context
