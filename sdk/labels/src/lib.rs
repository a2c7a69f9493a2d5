//! Label sets: sorted, immutable, cheap to clone.
