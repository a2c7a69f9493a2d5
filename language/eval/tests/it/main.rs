//! Tests of the language through its public face: configuration text in, values, typed structs or diagnostics out.
mod anything;
mod decoding;
mod derive;
mod expressions;
mod mutations;
mod surroundings;
