//! `filter` and `router`: which records go on, and where.

use language_eval::{Value, ValueError};
use sdk_protocols_otlp::model::AnyValue;

use crate::entry::Entry;
use crate::expression::{Expression, Template};
use crate::options::{Options, template};

/// Drops what its expression is true of, or a part of it.
pub(crate) struct Filter {
    expression: Expression,
    /// So many of a thousand are dropped.
    drop: u32,
}

/// Sends each record to the operators of the first route whose expression is true.
pub(crate) struct Router {
    pub(crate) routes: Vec<Route>,
}

/// Where some records go.
pub(crate) struct Route {
    expression: Expression,
    attributes: Vec<(String, Template)>,
    /// Ids of operators.
    pub(crate) output: Vec<String>,
}

impl Filter {
    pub(crate) fn read(options: &Options<'_>) -> Result<Filter, ValueError> {
        let expression = options.expression("expr")?.ok_or_else(|| ValueError::new("missing required key \"expr\""))?;
        let ratio = options.read("drop_ratio", |value| match value {
            Value::Number(number) if (0.0..=1.0).contains(&number.as_f64()) => Ok(number.as_f64()),
            Value::Number(_) => Err(ValueError::new("drop_ratio must be a number between 0 and 1")),
            other => Err(ValueError::mismatch("number", other)),
        })?;
        Ok(Filter { expression, drop: (ratio.unwrap_or(1.0) * 1000.0) as u32 })
    }

    /// Whether a record goes on.
    pub(crate) fn keeps(&self, entry: &Entry) -> Result<bool, String> {
        Ok(!self.expression.is_true(entry)? || (self.drop < 1000 && random(1000) >= self.drop))
    }
}

/// From 0 to below `bound`; 0 where the system has no chance to give.
fn random(bound: u32) -> u32 {
    getrandom::u32().map_or(0, |bits| bits % bound)
}

impl Router {
    pub(crate) fn read(options: &Options<'_>) -> Result<Router, ValueError> {
        let mut routes = options.required("routes", |value| match value {
            Value::Array(routes) => routes
                .iter()
                .enumerate()
                .map(|(at, route)| Route::read(route).map_err(|error| error.at_index(at)))
                .collect::<Result<Vec<_>, _>>(),
            other => Err(ValueError::mismatch("array", other)),
        })?;
        if let Some(output) = options.texts("default")? {
            let expression = Expression::truth("true").expect("an expression of our own");
            routes.push(Route { expression, attributes: Vec::new(), output });
        }
        Ok(Router { routes })
    }

    /// The route of a record, whose attributes are set.
    pub(crate) fn choose(&self, entry: &mut Entry) -> Result<Option<usize>, String> {
        for (at, route) in self.routes.iter().enumerate() {
            match route.expression.is_true(entry) {
                Ok(false) => {}
                Ok(true) => {
                    for (name, template) in &route.attributes {
                        let text = template.render(entry)?;
                        entry.attributes.set(name.as_str(), AnyValue::from(text));
                    }
                    return Ok(Some(at));
                }
                Err(error) => {
                    tracing::warn!(%error, "the expression of a route cannot be evaluated; the next one is tried")
                }
            }
        }
        Ok(None)
    }
}

impl Route {
    fn read(value: &Value) -> Result<Route, ValueError> {
        let options = Options::of(value)?;
        let expression = options.expression("expr")?.ok_or_else(|| ValueError::new("missing required key \"expr\""))?;
        let output = options.texts("output")?.filter(|output| !output.is_empty());
        let output = output.ok_or_else(|| ValueError::new("missing required key \"output\""))?;
        let attributes = options.read("attributes", |value| match value {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| {
                    template(value).map(|template| (name.to_owned(), template)).map_err(|error| error.at_field(name))
                })
                .collect::<Result<Vec<_>, _>>(),
            other => Err(ValueError::mismatch("object", other)),
        })?;
        options.finish("a route")?;
        Ok(Route { expression, attributes: attributes.unwrap_or_default(), output })
    }
}
