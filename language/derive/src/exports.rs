//! `#[derive(Exports)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, LitStr};

use crate::field::{doc, error};

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(error(&input.ident, "exports are a struct"));
    };
    let mut values = Vec::new();
    let mut schema = Vec::new();
    for field in &data.fields {
        if matches!(data.fields, Fields::Unnamed(_)) {
            return Err(error(&input.ident, "exports need names"));
        }
        let Some(ident) = &field.ident else { continue };
        let mut name = ident.unraw().to_string();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("export")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("name") {
                    return Err(meta.error("expected name"));
                }
                name = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            })?;
        }
        let doc = doc(&field.attrs);
        let value = &field.ty;
        values.push(quote! { (#name, ::language_eval::ToValue::to_value(&self.#ident)) });
        schema.push(quote! {
            ::language_eval::schema::FieldSchema {
                name: #name,
                doc: #doc,
                required: false,
                kind: ::language_eval::schema::FieldKind::Attribute {
                    value: <#value as ::language_eval::FromValue>::schema(),
                    default: ::core::option::Option::None,
                },
            }
        });
    }
    let name = &input.ident;
    let doc = doc(&input.attrs);
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::language_eval::Exports for #name #type_generics #where_clause {
            fn to_object(&self) -> ::language_eval::Object {
                let fields: ::std::vec::Vec<(&str, ::language_eval::Value)> = ::std::vec![#(#values,)*];
                fields.into_iter().collect()
            }

            fn schema() -> ::language_eval::BlockSchema {
                ::language_eval::BlockSchema { fields: ::std::vec![#(#schema,)*], doc: #doc }
            }
        }
    })
}
