//! Graph, evaluation order, modules, reload, scheduling, health.
