//! Tests of the language through its public face: configuration text in, typed structs or diagnostics out.
mod derive;
