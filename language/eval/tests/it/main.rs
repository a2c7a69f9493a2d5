//! Tests of the language through its public face: configuration text in, values, typed structs or diagnostics out.
mod derive;
mod expressions;
mod surroundings;
