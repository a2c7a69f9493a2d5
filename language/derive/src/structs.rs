//! `#[derive(Block)]` on a struct: decode, schema, encode, and the way from and to an object.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataStruct, DeriveInput, Fields};

use crate::field::{BlockField, Presence, Role, default_value, doc, error};

/// What `#[block(…)]` on the struct asks for.
#[derive(Default)]
struct StructOptions {
    validate: bool,
    default: bool,
}

pub fn expand(input: &DeriveInput, data: &DataStruct) -> syn::Result<TokenStream> {
    let fields = match &data.fields {
        Fields::Named(named) => named.named.iter().map(BlockField::parse).collect::<syn::Result<Vec<_>>>()?,
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => return Err(error(&input.ident, "a block needs fields with names")),
    };
    let options = struct_options(input)?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();

    let labelled = fields.iter().any(|field| matches!(field.role, Role::Label));
    let doc = doc(&input.attrs);
    let decode = fields.iter().map(decode_field);
    let build = build_fields(&fields, &data.fields);
    let schema = fields.iter().map(schema_field);
    let encode = fields.iter().map(encode_field);
    let label = fields.iter().find(|field| matches!(field.role, Role::Label)).map(|field| &field.ident);
    let encode_label = match label {
        Some(ident) => quote! { ::core::option::Option::Some(self.#ident.clone()) },
        None => quote! { ::core::option::Option::None },
    };
    let validate = if options.validate {
        quote! { body.validate(&decoded)?; }
    } else {
        TokenStream::new()
    };
    let default = if options.default { Some(default_impl(input, &fields)?) } else { None };

    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::language_eval::Block for #name #type_generics #where_clause {
            const LABELLED: bool = #labelled;

            fn decode(
                body: &mut ::language_eval::block::BodyDecoder<'_>,
            ) -> ::core::result::Result<Self, ::language_eval::block::Failed> {
                #(#decode)*
                let decoded = Self #build;
                #validate
                ::core::result::Result::Ok(decoded)
            }

            fn schema() -> ::language_eval::BlockSchema {
                let mut fields = ::std::vec::Vec::new();
                #(#schema)*
                ::language_eval::BlockSchema { fields, doc: #doc }
            }

            fn encode(&self) -> ::std::vec::Vec<::language_eval::BodyNode> {
                let mut body = ::std::vec::Vec::new();
                #(#encode)*
                body
            }

            fn label(&self) -> ::core::option::Option<::std::string::String> {
                #encode_label
            }
        }

        #[automatically_derived]
        impl #impl_generics ::language_eval::FromValue for #name #type_generics #where_clause {
            fn from_value(
                value: &::language_eval::Value,
            ) -> ::core::result::Result<Self, ::language_eval::ValueError> {
                ::language_eval::decode::struct_from_value(value)
            }

            fn zero() -> ::core::option::Option<Self> {
                ::core::option::Option::None
            }

            fn schema() -> ::language_eval::TypeSchema {
                ::language_eval::TypeSchema::Struct(<Self as ::language_eval::Block>::schema)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::language_eval::ToValue for #name #type_generics #where_clause {
            fn to_value(&self) -> ::language_eval::Value {
                ::language_eval::encode::body_to_object(<Self as ::language_eval::Block>::encode(self))
            }
        }

        #default
    })
}

fn struct_options(input: &DeriveInput) -> syn::Result<StructOptions> {
    let mut options = StructOptions::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("block")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("validate") {
                options.validate = true;
            } else if meta.path.is_ident("default") {
                options.default = true;
            } else {
                return Err(meta.error("expected validate or default"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn build_fields(fields: &[BlockField], shape: &Fields) -> TokenStream {
    if matches!(shape, Fields::Unit) {
        return TokenStream::new();
    }
    let built = fields.iter().map(|BlockField { ident, .. }| {
        quote! { #ident: #ident.ok_or(::language_eval::block::Failed)? }
    });
    quote! { { #(#built,)* } }
}

fn decode_field(field: &BlockField) -> TokenStream {
    let BlockField { ident, name, role, .. } = field;
    let decoded = match role {
        Role::Attribute { value, presence } => match presence {
            Presence::Required => quote! { body.required_attribute::<#value>(#name) },
            // An option's zero is to be absent.
            Presence::Zero | Presence::Absent => quote! { body.optional_attribute::<#value>(#name) },
            Presence::Default(default) => {
                let default = default_value(default, value);
                quote! { body.attribute_or::<#value>(#name, || #default) }
            }
        },
        Role::Block { value, presence } => match presence {
            Presence::Required => quote! { body.required_block::<#value>(#name) },
            Presence::Zero => quote! { body.block_or::<#value>(#name, ::core::default::Default::default) },
            Presence::Absent => quote! { body.optional_block::<#value>(#name) },
            Presence::Default(default) => quote! { body.block_or::<#value>(#name, || #default) },
        },
        Role::Blocks { item, required } => quote! { body.blocks::<#item>(#name, #required) },
        Role::Variants { item, prefix } => quote! { body.variants::<#item>(#prefix) },
        Role::Label => quote! { body.label() },
        Role::Squash { value } => quote! { body.squash::<#value>() },
    };
    quote! { let #ident = #decoded; }
}

fn schema_field(field: &BlockField) -> TokenStream {
    let BlockField { name, doc, role, .. } = field;
    match role {
        Role::Attribute { value, presence } => {
            let required = matches!(presence, Presence::Required);
            let default = match presence {
                Presence::Required | Presence::Absent => quote! { ::core::option::Option::None },
                Presence::Zero => quote! {
                    <#value as ::language_eval::FromValue>::absent().map(|absent| ::language_eval::ToValue::to_value(&absent))
                },
                Presence::Default(default) => {
                    let default = default_value(default, value);
                    quote! {{
                        let default: #value = #default;
                        ::core::option::Option::Some(::language_eval::ToValue::to_value(&default))
                    }}
                }
            };
            quote! {
                fields.push(::language_eval::schema::FieldSchema {
                    name: #name,
                    doc: #doc,
                    required: #required,
                    kind: ::language_eval::schema::FieldKind::Attribute {
                        value: <#value as ::language_eval::FromValue>::schema(),
                        default: #default,
                    },
                });
            }
        }
        Role::Block { value, presence } => {
            let required = matches!(presence, Presence::Required);
            let absent = match presence {
                Presence::Required | Presence::Absent => quote! { ::core::option::Option::None },
                Presence::Zero => quote! {{
                    let absent: #value = ::core::default::Default::default();
                    ::core::option::Option::Some(::language_eval::ToValue::to_value(&absent))
                }},
                Presence::Default(default) => quote! {{
                    let absent: #value = #default;
                    ::core::option::Option::Some(::language_eval::ToValue::to_value(&absent))
                }},
            };
            schema_block(name, doc, value, required, quote! { Once }, absent)
        }
        Role::Blocks { item, required } => {
            schema_block(name, doc, item, *required, quote! { Many }, quote! { ::core::option::Option::None })
        }
        Role::Variants { item, prefix } => quote! {
            fields.extend(::language_eval::block::variant_fields::<#item>(#prefix));
        },
        Role::Label => TokenStream::new(),
        Role::Squash { value } => quote! {
            fields.extend(<#value as ::language_eval::Block>::schema().fields);
        },
    }
}

fn schema_block(
    name: &str,
    doc: &str,
    value: &syn::Type,
    required: bool,
    repeat: TokenStream,
    absent: TokenStream,
) -> TokenStream {
    quote! {
        fields.push(::language_eval::schema::FieldSchema {
            name: #name,
            doc: #doc,
            required: #required,
            kind: ::language_eval::schema::FieldKind::Block {
                schema: <#value as ::language_eval::Block>::schema,
                repeat: ::language_eval::schema::Repeat::#repeat,
                labelled: <#value as ::language_eval::Block>::LABELLED,
                absent: #absent,
            },
        });
    }
}

fn encode_field(field: &BlockField) -> TokenStream {
    let BlockField { ident, name, role, .. } = field;
    match role {
        Role::Attribute { value, presence } => {
            let default = match presence {
                Presence::Required => quote! { ::core::option::Option::None },
                Presence::Absent => quote! { ::core::option::Option::Some(::language_eval::Value::Null) },
                Presence::Zero => quote! {
                    <#value as ::language_eval::FromValue>::absent().map(|absent| ::language_eval::ToValue::to_value(&absent))
                },
                Presence::Default(default) => {
                    let default = default_value(default, value);
                    quote! {{
                        let default: #value = #default;
                        ::core::option::Option::Some(::language_eval::ToValue::to_value(&default))
                    }}
                }
            };
            quote! { ::language_eval::encode::attribute(&mut body, #name, &self.#ident, #default); }
        }
        Role::Block { presence, .. } => {
            let always = matches!(presence, Presence::Required);
            match presence {
                Presence::Absent => quote! {
                    if let ::core::option::Option::Some(block) = &self.#ident {
                        ::language_eval::encode::block(&mut body, #name, block);
                    }
                },
                Presence::Default(default) => quote! {
                    ::language_eval::encode::block_unless(&mut body, #name, &self.#ident, &{ #default });
                },
                Presence::Zero => quote! {
                    ::language_eval::encode::block_unless(
                        &mut body, #name, &self.#ident, &::core::default::Default::default(),
                    );
                },
                Presence::Required => {
                    debug_assert!(always);
                    quote! { ::language_eval::encode::block(&mut body, #name, &self.#ident); }
                }
            }
        }
        Role::Blocks { .. } => quote! {
            for block in &self.#ident {
                ::language_eval::encode::block(&mut body, #name, block);
            }
        },
        Role::Variants { prefix, .. } => quote! {
            for block in &self.#ident {
                ::language_eval::encode::variant(&mut body, #prefix, block);
            }
        },
        Role::Label => TokenStream::new(),
        Role::Squash { .. } => quote! {
            body.extend(::language_eval::Block::encode(&self.#ident));
        },
    }
}

/// `#[block(default)]`: the values that an empty body decodes to.
fn default_impl(input: &DeriveInput, fields: &[BlockField]) -> syn::Result<TokenStream> {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let mut values = Vec::new();
    for BlockField { ident, role, .. } in fields {
        let value = match role {
            Role::Attribute { value, presence: Presence::Default(default) } => default_value(default, value),
            Role::Attribute { value, presence: Presence::Zero } => quote! {
                <#value as ::language_eval::FromValue>::absent().unwrap_or_default()
            },
            Role::Block { presence: Presence::Default(default), .. } => quote! { #default },
            Role::Attribute { presence: Presence::Absent, .. } | Role::Block { presence: Presence::Absent, .. } => {
                quote! { ::core::option::Option::None }
            }
            Role::Blocks { required: true, .. }
            | Role::Attribute { presence: Presence::Required, .. }
            | Role::Block { presence: Presence::Required, .. } => {
                return Err(error(ident, "#[block(default)] needs every field to be optional"));
            }
            _ => quote! { ::core::default::Default::default() },
        };
        values.push(quote! { #ident: #value });
    }
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::core::default::Default for #name #type_generics #where_clause {
            fn default() -> Self {
                Self { #(#values,)* }
            }
        }
    })
}
