//! What the attributes of one field say.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprLit, Field, GenericArgument, Ident, Lit, LitStr, PathArguments, Type};

/// One field of a struct that derives `Block`.
pub struct BlockField {
    pub ident: Ident,
    /// As written in a configuration.
    pub name: String,
    pub doc: String,
    pub role: Role,
}

/// What a field holds of its block.
pub enum Role {
    Attribute {
        value: Type,
        presence: Presence,
    },
    Block {
        value: Type,
        presence: Presence,
    },
    /// `Vec<T>`
    Blocks {
        item: Type,
        required: bool,
    },
    /// `Vec<T>` of an enum of blocks
    Variants {
        item: Type,
        prefix: String,
    },
    Label,
    Squash {
        value: Type,
    },
}

/// What applies when a field is left out.
pub enum Presence {
    Required,
    /// The type's zero.
    Zero,
    /// An `Option`: `None`.
    Absent,
    Default(Box<Expr>),
}

/// The options inside `#[attr(…)]` or `#[block(…)]`.
#[derive(Default)]
struct Options {
    name: Option<String>,
    default: Option<Expr>,
    optional: bool,
    required: bool,
    variants: bool,
    prefix: String,
}

impl BlockField {
    pub fn parse(field: &Field) -> syn::Result<BlockField> {
        let ident = field.ident.clone().ok_or_else(|| error(field, "a block needs fields with names"))?;
        let mut role = None;
        let mut name = ident.unraw().to_string();
        for attribute in &field.attrs {
            let path = attribute.path();
            let found = if path.is_ident("attr") {
                let options = Options::parse(attribute)?;
                name = options.name.clone().unwrap_or(name);
                Role::Attribute { value: field.ty.clone(), presence: options.presence(&field.ty)? }
            } else if path.is_ident("block") {
                let options = Options::parse(attribute)?;
                name = options.name.clone().unwrap_or(name);
                options.block_role(&field.ty)?
            } else if path.is_ident("label") {
                Role::Label
            } else if path.is_ident("squash") {
                Role::Squash { value: field.ty.clone() }
            } else {
                continue;
            };
            if role.replace(found).is_some() {
                return Err(error(field, "a field is one of #[attr], #[block], #[label], #[squash]"));
            }
        }
        let role =
            role.ok_or_else(|| error(field, "say what this field is: #[attr], #[block], #[label] or #[squash]"))?;
        Ok(BlockField { ident, name, doc: doc(&field.attrs), role })
    }
}

impl Options {
    fn parse(attribute: &Attribute) -> syn::Result<Options> {
        let mut options = Options::default();
        if matches!(attribute.meta, syn::Meta::Path(_)) {
            return Ok(options);
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                options.default = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("optional") {
                options.optional = true;
            } else if meta.path.is_ident("required") {
                options.required = true;
            } else if meta.path.is_ident("enum") {
                options.variants = true;
            } else if meta.path.is_ident("prefix") {
                options.prefix = meta.value()?.parse::<LitStr>()?.value();
            } else {
                return Err(meta.error("expected name, default, optional, required, enum or prefix"));
            }
            Ok(())
        })?;
        Ok(options)
    }

    fn presence(&self, value: &Type) -> syn::Result<Presence> {
        match (&self.default, self.required, self.optional) {
            (Some(_), true, _) => Err(error(value, "what has a default is not required")),
            (Some(default), _, _) => Ok(Presence::Default(Box::new(default.clone()))),
            (None, true, _) => Ok(Presence::Required),
            (None, _, _) if argument_of(value, "Option").is_some() => Ok(Presence::Absent),
            (None, _, true) => Ok(Presence::Zero),
            (None, _, false) => Ok(Presence::Required),
        }
    }

    fn block_role(&self, value: &Type) -> syn::Result<Role> {
        if let Some(item) = argument_of(value, "Vec") {
            return Ok(if self.variants {
                Role::Variants { item, prefix: self.prefix.clone() }
            } else {
                Role::Blocks { item, required: self.required }
            });
        }
        if self.variants {
            return Err(error(value, "an enum of blocks stands in a Vec"));
        }
        match self.presence(value)? {
            Presence::Absent => {
                let inner = argument_of(value, "Option").ok_or_else(|| error(value, "expected an Option"))?;
                Ok(Role::Block { value: inner, presence: Presence::Absent })
            }
            presence => Ok(Role::Block { value: value.clone(), presence }),
        }
    }
}

/// A default as written; a text literal turns into whatever the field is.
pub fn default_value(default: &Expr, value: &Type) -> TokenStream {
    match default {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            quote! { <#value as ::core::convert::From<&str>>::from(#text) }
        }
        other => other.to_token_stream(),
    }
}

/// `T` of `Option<T>` or `Vec<T>`.
fn argument_of(value: &Type, container: &str) -> Option<Type> {
    let Type::Path(path) = value else { return None };
    let segment = path.path.segments.last()?;
    if segment.ident != container {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    })
}

/// The doc comment, its lines joined.
pub fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &attribute.meta.require_name_value().ok()?.value else {
            return None;
        };
        let line = line.value();
        Some(line.strip_prefix(' ').unwrap_or(&line).to_owned())
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// `JsonStage` → `json_stage`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

pub fn error(at: impl ToTokens, message: &str) -> syn::Error {
    let mut tokens = at.to_token_stream();
    if tokens.is_empty() {
        tokens = Ident::new("block", Span::call_site()).to_token_stream();
    }
    syn::Error::new_spanned(tokens, message)
}
