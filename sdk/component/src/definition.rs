//! A component as the runtime sees it: a name, a schema, and functions.

use std::any::Any;
use std::sync::Arc;

use language_eval::block::BodySource;
use language_eval::{Block, BlockSchema, BodyNode};
use language_syntax::Diagnostics;

use crate::component::{BoxFuture, Component, Description, HttpHandler, Stopped, Update};
use crate::context::{Context, Stop};
use crate::problem::Problem;
use crate::stability::Stability;

/// One line of a family's `COMPONENTS` list.
#[derive(Clone, Copy)]
pub struct Definition {
    /// `loki.write`
    pub name: &'static str,
    /// How settled.
    pub stability: Stability,
    /// Needs the community flag.
    pub community: bool,
    /// What its block holds.
    pub arguments: fn() -> BlockSchema,
    /// What it exports.
    pub exports: fn() -> BlockSchema,
    /// Arguments from a body.
    pub decode: fn(BodySource<'_>) -> Result<Decoded, Diagnostics>,
    /// What can be said of a body while what it refers to is faulty: names, and the types of what refers to nothing.
    pub check: fn(BodySource<'_>) -> Diagnostics,
    /// See [`Component::doubts`].
    pub doubts: fn(&Decoded) -> Vec<Problem>,
    /// See [`Component::build`].
    pub build: fn(&Context, Decoded) -> Result<Arc<dyn Instance>, Problem>,
}

/// Arguments whose type only the component knows.
pub struct Decoded {
    arguments: Box<dyn Any + Send>,
    /// Equal bodies mean equal arguments; the web API prints them.
    pub body: Vec<BodyNode>,
    /// What their author should know.
    pub warnings: Diagnostics,
}

/// A component whose type is forgotten.
pub trait Instance: Send + Sync {
    /// See [`Component::update`].
    fn update(&self, arguments: Decoded) -> Result<Update, Problem>;
    /// See [`Component::run`].
    fn run(self: Arc<Self>, stop: Stop) -> BoxFuture<'static, Result<(), Stopped>>;
    /// See [`Component::describe`].
    fn describe(&self) -> Description;
    /// See [`Component::http`].
    fn http(&self) -> Option<HttpHandler>;
}

// === impl Definition ===

impl Definition {
    /// The definition of a component type.
    pub const fn of<C: Component>() -> Definition {
        Definition {
            name: C::NAME,
            stability: C::STABILITY,
            community: C::COMMUNITY,
            arguments: C::Arguments::schema,
            exports: <C::Exports as language_eval::Exports>::schema,
            decode: decode::<C::Arguments>,
            check: |body| body.check::<C::Arguments>(),
            doubts: |decoded| C::doubts(decoded.typed()),
            build: |context, arguments| Ok(Arc::new(C::build(context, arguments.into_typed())?)),
        }
    }
}

pub(crate) fn decode<A: Block + Send + 'static>(body: BodySource<'_>) -> Result<Decoded, Diagnostics> {
    let (arguments, warnings) = body.decode_with_warnings::<A>()?;
    Ok(Decoded { body: arguments.encode(), arguments: Box::new(arguments), warnings })
}

// === impl Decoded ===

impl Decoded {
    fn typed<A: 'static>(&self) -> &A {
        self.arguments.downcast_ref::<A>().expect("arguments are decoded and looked at by the same definition")
    }

    /// The typed arguments. They always are of the type whose `decode` made them: definition and instance are made
    /// together.
    pub(crate) fn into_typed<A: 'static>(self) -> A {
        *self.arguments.downcast::<A>().expect("arguments are decoded and used by the same definition")
    }
}

// === impl Instance ===

impl<C: Component> Instance for C {
    fn update(&self, arguments: Decoded) -> Result<Update, Problem> {
        Component::update(self, arguments.into_typed())
    }

    fn run(self: Arc<Self>, stop: Stop) -> BoxFuture<'static, Result<(), Stopped>> {
        Box::pin(Component::run(self, stop))
    }

    fn describe(&self) -> Description {
        Component::describe(self)
    }

    fn http(&self) -> Option<HttpHandler> {
        Component::http(self)
    }
}
