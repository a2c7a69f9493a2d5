//! HTTP clients and servers from Alloy's own blocks.
