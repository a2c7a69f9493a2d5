//! Loki's push protocol.
