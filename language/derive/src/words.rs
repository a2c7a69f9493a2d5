//! `#[derive(Word)]`: an enum whose variants are words of a configuration.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr, Variant};

use crate::field::{error, snake_case};

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(error(&input.ident, "words are the variants of an enum"));
    };
    let ignore_case = ignore_case(input)?;
    let mut words = Vec::new();
    let mut to_word = Vec::new();
    let mut from_word = Vec::new();
    for variant in &data.variants {
        let ident = &variant.ident;
        if !matches!(variant.fields, Fields::Unit) {
            return Err(error(ident, "a word holds nothing"));
        }
        let (word, aliases) = spelling(variant)?;
        to_word.push(quote! { Self::#ident => #word, });
        for spelled in std::iter::once(&word).chain(&aliases) {
            let spelled = if ignore_case { spelled.to_lowercase() } else { spelled.clone() };
            from_word.push(quote! { #spelled => ::core::option::Option::Some(Self::#ident), });
        }
        words.push(word);
    }
    let fold = if ignore_case {
        quote! { word.to_lowercase().as_str() }
    } else {
        quote! { word }
    };
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::language_eval::Word for #name {
            const WORDS: &'static [&'static str] = &[#(#words,)*];

            fn as_str(&self) -> &'static str {
                match self { #(#to_word)* }
            }

            fn from_word(word: &str) -> ::core::option::Option<Self> {
                match #fold {
                    #(#from_word)*
                    _ => ::core::option::Option::None,
                }
            }
        }

        #[automatically_derived]
        impl ::language_eval::FromValue for #name {
            fn from_value(
                value: &::language_eval::Value,
            ) -> ::core::result::Result<Self, ::language_eval::ValueError> {
                ::language_eval::word::word_from_value(value)
            }

            fn zero() -> ::core::option::Option<Self> {
                ::core::option::Option::None
            }

            fn schema() -> ::language_eval::TypeSchema {
                ::language_eval::TypeSchema::Word(<Self as ::language_eval::Word>::WORDS)
            }
        }

        #[automatically_derived]
        impl ::language_eval::ToValue for #name {
            fn to_value(&self) -> ::language_eval::Value {
                ::language_eval::Value::from(::language_eval::Word::as_str(self))
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Display for #name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(::language_eval::Word::as_str(self))
            }
        }
    })
}

fn ignore_case(input: &DeriveInput) -> syn::Result<bool> {
    let mut ignore_case = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("word")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("ignore_case") {
                return Err(meta.error("expected ignore_case"));
            }
            ignore_case = true;
            Ok(())
        })?;
    }
    Ok(ignore_case)
}

fn spelling(variant: &Variant) -> syn::Result<(String, Vec<String>)> {
    let mut name = snake_case(&variant.ident.to_string());
    let mut aliases = Vec::new();
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("word")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("alias") {
                aliases.push(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("expected name or alias"));
            }
            Ok(())
        })?;
    }
    Ok((name, aliases))
}
