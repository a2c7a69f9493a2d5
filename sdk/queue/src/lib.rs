//! The queue in front of every network exporter.
