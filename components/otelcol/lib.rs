//! otelcol.auth.* and the rest of otelcol.*.

pub mod auth;
mod extension;
pub mod storage;

use sdk_component::Definition;

/// Every component of this family.
pub const COMPONENTS: &[Definition] = &[
    Definition::of::<auth::basic::Basic>(),
    Definition::of::<auth::bearer::Bearer>(),
    Definition::of::<auth::headers::Headers>(),
    Definition::of::<auth::oauth2::OAuth2>(),
    Definition::of::<storage::file::File>(),
];
