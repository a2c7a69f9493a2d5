//! The derives of the configuration language: `Arguments`, `Block`, `Exports`, `Word`.
//!
//! What they accept is shown where their traits live, in `language_eval::block`, `language_eval::exports` and
//! `language_eval::word`. Besides the decoding they write down the schema (name, type, default, required, doc), so
//! that docs, UI and `validate` cannot disagree with what the decoder does.

mod exports;
mod field;
mod structs;
mod variants;
mod words;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, parse_macro_input};

/// A component's arguments: the same as `Block`, under the name that reads right.
#[proc_macro_derive(Arguments, attributes(block, attr, label, squash))]
pub fn derive_arguments(input: TokenStream) -> TokenStream {
    derive_block(input)
}

/// A struct that decodes from a block's body, or an enum whose variants are the alternative blocks under one prefix.
#[proc_macro_derive(Block, attributes(block, attr, label, squash))]
pub fn derive_block(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let expanded = match &input.data {
        Data::Struct(data) => structs::expand(&input, data),
        Data::Enum(data) => variants::expand(&input, data),
        Data::Union(_) => Err(syn::Error::new_spanned(&input.ident, "a union cannot be a block")),
    };
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// A component's exports: named fields that other blocks refer to.
#[proc_macro_derive(Exports, attributes(export))]
pub fn derive_exports(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    exports::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// An enum of words: `"debug"`, `"info"`.
#[proc_macro_derive(Word, attributes(word))]
pub fn derive_word(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    words::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
