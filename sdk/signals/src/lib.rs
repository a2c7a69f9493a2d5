//! The currencies of the data plane: batches and deliveries.
