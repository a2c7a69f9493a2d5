//! The registry of our own metrics, and the model exporters share with it.
