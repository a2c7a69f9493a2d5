//! Values of a configuration: evaluate, decode, standard library.
