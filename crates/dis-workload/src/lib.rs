//! dis-workload
