//! Fields of resources and scopes.

use super::{expect, missing};
use crate::context::On;
use crate::error::Result;
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ResourceDropped,
    ResourceSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeDropped,
    ScopeSchemaUrl,
}

pub(super) const RESOURCE_FIELDS: &[(&str, Field)] =
    &[("dropped_attributes_count", Field::ResourceDropped), ("schema_url", Field::ResourceSchemaUrl)];

pub(super) const SCOPE_FIELDS: &[(&str, Field)] = &[
    ("name", Field::ScopeName),
    ("version", Field::ScopeVersion),
    ("dropped_attributes_count", Field::ScopeDropped),
    ("schema_url", Field::ScopeSchemaUrl),
];

impl Field {
    pub fn get<'a>(self, on: &'a On<'_>) -> Result<Value<'a>> {
        Ok(match self {
            Field::ResourceDropped => Value::Int(on.resource.0.dropped_attributes_count.into()),
            Field::ResourceSchemaUrl => Value::Text(on.resource.1.clone()),
            Field::ScopeName => Value::Text(on.scope()?.name.clone()),
            Field::ScopeVersion => Value::Text(on.scope()?.version.clone()),
            Field::ScopeDropped => Value::Int(on.scope()?.dropped_attributes_count.into()),
            Field::ScopeSchemaUrl => Value::Text(missing(on.scope.as_ref(), "scope")?.1.clone()),
        })
    }

    pub fn set(self, on: &mut On<'_>, value: Value<'_>) -> Result<()> {
        match self {
            Field::ResourceDropped => on.resource.0.dropped_attributes_count = expect::int(value)? as u32,
            Field::ResourceSchemaUrl => *on.resource.1 = expect::text(value)?,
            Field::ScopeName => on.scope_mut()?.name = expect::text(value)?,
            Field::ScopeVersion => on.scope_mut()?.version = expect::text(value)?,
            Field::ScopeDropped => on.scope_mut()?.dropped_attributes_count = expect::int(value)? as u32,
            Field::ScopeSchemaUrl => *missing(on.scope.as_mut(), "scope")?.1 = expect::text(value)?,
        }
        Ok(())
    }
}
