//! `#[derive(Block)]` on an enum: alternative blocks under one prefix, such as the stages of a pipeline.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Fields, LitStr, Variant};

use crate::field::{doc, error, snake_case};

pub fn expand(input: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    let mut decode = Vec::new();
    let mut encode = Vec::new();
    let mut list = Vec::new();
    for variant in &data.variants {
        let ident = &variant.ident;
        let name = block_name(variant)?;
        let doc = doc(&variant.attrs);
        let Fields::Unnamed(fields) = &variant.fields else {
            return Err(error(ident, "a variant holds one struct: Json(JsonStage)"));
        };
        let [field] = &fields.unnamed.iter().collect::<Vec<_>>()[..] else {
            return Err(error(ident, "a variant holds one struct: Json(JsonStage)"));
        };
        let value = &field.ty;
        list.push(quote! {
            ::language_eval::block::Variant {
                name: #name,
                doc: #doc,
                schema: <#value as ::language_eval::Block>::schema,
                labelled: <#value as ::language_eval::Block>::LABELLED,
            }
        });
        decode.push(quote! { #name => <#value as ::language_eval::Block>::decode(body).map(Self::#ident), });
        encode.push(quote! {
            Self::#ident(block) => (
                #name,
                ::language_eval::Block::label(block),
                ::language_eval::Block::encode(block),
            ),
        });
    }
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::language_eval::block::BlockVariants for #name #type_generics #where_clause {
            const VARIANTS: &'static [::language_eval::block::Variant] = &[#(#list,)*];

            fn decode_variant(
                name: &str,
                body: &mut ::language_eval::block::BodyDecoder<'_>,
            ) -> ::core::result::Result<Self, ::language_eval::block::Failed> {
                match name {
                    #(#decode)*
                    _ => ::core::result::Result::Err(::language_eval::block::Failed),
                }
            }

            fn encode_variant(
                &self,
            ) -> (
                &'static str,
                ::core::option::Option<::std::string::String>,
                ::std::vec::Vec<::language_eval::BodyNode>,
            ) {
                match self {
                    #(#encode)*
                }
            }
        }
    })
}

fn block_name(variant: &Variant) -> syn::Result<String> {
    let mut name = snake_case(&variant.ident.to_string());
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("block")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected name"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    Ok(name)
}
