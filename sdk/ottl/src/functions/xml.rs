//! Converters of XML.

use sdk_protocols_otlp::model::{AnyValue, Map};

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::context::On;
use crate::error::{Error, Result};
use crate::expression::Expression;
use crate::text::xml::xpath::XPath;
use crate::text::xml::{Document, Kind as Node, local};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("ParseXML", &[required("Target", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| parse_xml(&coerce::text(&target, on)?.as_str()))
    }),
    everywhere("ParseSimplifiedXML", &[required("Target", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| {
            let document = document(&target, on)?;
            Ok(Value::map(simplified(&document, 0)))
        })
    }),
    everywhere("GetXML", &[required("Target", Kind::Text), required("XPath", Kind::LiteralText)], get_xml),
    everywhere(
        "InsertXML",
        &[required("Target", Kind::Text), required("XPath", Kind::LiteralText), required("SubDocument", Kind::Text)],
        insert_xml,
    ),
    everywhere("RemoveXML", &[required("Target", Kind::Text), required("XPath", Kind::LiteralText)], remove_xml),
    everywhere(
        "ConvertAttributesToElementsXML",
        &[required("Target", Kind::Text), optional("XPath", Kind::LiteralText)],
        convert_attributes,
    ),
    everywhere(
        "ConvertTextToElementsXML",
        &[
            required("Target", Kind::Text),
            optional("XPath", Kind::LiteralText),
            optional("ElementName", Kind::LiteralText),
        ],
        convert_text,
    ),
];

fn parsed(text: &str) -> Result<Document> {
    let document = Document::parse(text).map_err(|error| Error::new(format!("parse xml: {error}")))?;
    let mut top = document.nodes[0].children.iter();
    if top.any(|node| matches!(document.nodes[*node].kind, Node::Element(..))) {
        Ok(document)
    } else {
        Err("parse xml: invalid XML document".into())
    }
}

fn document(target: &Expression, on: &On<'_>) -> Result<Document> {
    parsed(&coerce::text(target, on)?.as_str())
}

/// The one element with its tag, attributes, text and children.
fn parse_xml(text: &str) -> Result<Value<'static>> {
    let document = Document::parse(text).map_err(|error| Error::new(format!("unmarshal xml: {error}")))?;
    let is_element = |node: &&usize| matches!(document.nodes[**node].kind, Node::Element(..));
    let top = &document.nodes[0].children;
    let Some(root) = top.iter().find(is_element) else { return Err("unmarshal xml: EOF".into()) };
    if top.last() != Some(root) {
        return Err("trailing bytes after parsing xml".into());
    }
    Ok(Value::map(element(&document, *root)))
}

fn element(document: &Document, node: usize) -> Map {
    let mut map = Map::default();
    let Node::Element(name, attributes) = &document.nodes[node].kind else { return map };
    map.set("tag", local(name));
    let (mut text, mut children) = (String::new(), Vec::new());
    for child in &document.nodes[node].children {
        match &document.nodes[*child].kind {
            Node::Text(part) | Node::Data(part) => text.push_str(part.trim()),
            Node::Element(..) => children.push(AnyValue::Map(element(document, *child))),
            _ => {}
        }
    }
    if !text.is_empty() {
        map.set("content", text);
    }
    if !attributes.is_empty() {
        let mut found = Map::default();
        attributes.iter().for_each(|(name, value)| found.set(local(name), value.as_str()));
        map.set("attributes", found);
    }
    if !children.is_empty() {
        map.set("children", children);
    }
    map
}

/// Elements by their names; a name that comes again gives a list. Attributes, and text beside elements, are left out.
fn simplified(document: &Document, node: usize) -> Map {
    let mut map = Map::default();
    let elements = |node: usize| {
        let children = document.nodes[node].children.iter().copied();
        children.filter_map(|child| match &document.nodes[child].kind {
            Node::Element(name, _) => Some((child, local(name))),
            _ => None,
        })
    };
    for (child, name) in elements(node) {
        if document.nodes[child].children.is_empty() {
            continue;
        }
        let mut leaf = None;
        if elements(child).next().is_none() {
            leaf = document.nodes[child].children.iter().find_map(|part| match &document.nodes[*part].kind {
                Node::Text(text) | Node::Data(text) => Some(text.clone()),
                _ => None,
            });
        }
        let value = match leaf.filter(|text| !text.is_empty()) {
            Some(text) => AnyValue::from(text),
            None => {
                let inner = simplified(document, child);
                if inner.0.is_empty() {
                    continue;
                }
                AnyValue::Map(inner)
            }
        };
        if elements(node).filter(|(_, other)| *other == name).count() < 2 {
            map.set(name, value);
        } else if let Some(AnyValue::Array(list)) = map.get_mut(name) {
            list.push(value);
        } else {
            map.set(name, vec![value]);
        }
    }
    map
}

fn get_xml(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, xpath) = (a.expression(0)?, XPath::new(&a.text(1)?)?);
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        if text.is_empty() {
            return Ok(Value::text(""));
        }
        let document = parsed(&text.as_str())?;
        let mut result = Document::parse("")?;
        for found in xpath.find(&document) {
            match &document.nodes[found.node].kind {
                Node::Element(_, attributes) if found.attribute > 0 => {
                    let value = attributes.get(found.attribute - 1).map(|(_, value)| value.clone()).unwrap_or_default();
                    result.add(0, Node::Text(value));
                }
                Node::Data(data) => drop(result.add(0, Node::Text(data.clone()))),
                kind @ (Node::Element(..) | Node::Text(_)) => {
                    let copy = result.add(0, kind.clone());
                    result.graft(copy, &document, found.node);
                }
                _ => {}
            }
        }
        Ok(Value::text(result.write()))
    })
}

fn insert_xml(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, xpath, inserted) = (a.expression(0)?, XPath::new(&a.text(1)?)?, a.expression(2)?);
    converter(move |on| {
        let target = coerce::text(&target, on)?;
        let mut to = if target.is_empty() { Document::parse("")? } else { parsed(&target.as_str())? };
        let inserted = document(&inserted, on)?;
        for found in xpath.find(&to) {
            match &to.nodes[found.node].kind {
                Node::Element(..) | Node::Document if found.attribute == 0 => to.graft(found.node, &inserted, 0),
                _ => return Err("InsertXML XPath selected non-element".into()),
            }
        }
        Ok(Value::text(to.write()))
    })
}

fn remove_xml(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, xpath) = (a.expression(0)?, XPath::new(&a.text(1)?)?);
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        if text.is_empty() {
            return Ok(Value::text(""));
        }
        let mut document = parsed(&text.as_str())?;
        // From the last on, so that the places of attributes stay true.
        for found in xpath.find(&document).into_iter().rev() {
            match &mut document.nodes[found.node].kind {
                Node::Element(_, attributes) if found.attribute > 0 => drop(attributes.remove(found.attribute - 1)),
                Node::Text(text) => text.clear(),
                Node::Element(..) | Node::Comment(_) | Node::Data(_) => document.remove(found.node),
                _ => {}
            }
        }
        Ok(Value::text(document.write()))
    })
}

fn convert_attributes(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let xpath = a.given_text(1).filter(|xpath| !xpath.is_empty()).unwrap_or_else(|| "//@*".to_owned());
    let xpath = XPath::new(&xpath)?;
    converter(move |on| {
        let mut document = document(&target, on)?;
        let found = xpath.find(&document);
        for found in found.iter().filter(|found| found.attribute > 0) {
            let Node::Element(_, attributes) = &document.nodes[found.node].kind else { continue };
            let Some((name, value)) = attributes.get(found.attribute - 1).cloned() else { continue };
            let element = document.add(found.node, Node::Element(local(&name).to_owned(), Vec::new()));
            document.add(element, Node::Text(value));
        }
        for found in found.iter().rev().filter(|found| found.attribute > 0) {
            if let Node::Element(_, attributes) = &mut document.nodes[found.node].kind {
                attributes.remove(found.attribute - 1);
            }
        }
        Ok(Value::text(document.write()))
    })
}

fn convert_text(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let xpath = a.given_text(1).filter(|xpath| !xpath.is_empty()).unwrap_or_else(|| "/".to_owned());
    let name = a.given_text(2).filter(|name| !name.is_empty()).unwrap_or_else(|| "value".to_owned());
    let xpath = XPath::new(&xpath)?;
    converter(move |on| {
        let mut document = document(&target, on)?;
        for found in xpath.find(&document).into_iter().filter(|found| found.attribute == 0) {
            wrap_text(&mut document, found.node, &name);
        }
        Ok(Value::text(document.write()))
    })
}

/// Text that is not alone in its element becomes an element, all the way down.
fn wrap_text(document: &mut Document, node: usize, name: &str) {
    let mut todo = vec![node];
    while let Some(node) = todo.pop() {
        let children = document.nodes[node].children.clone();
        let is_text = |document: &Document, child: usize| matches!(document.nodes[child].kind, Node::Text(_));
        let elements: Vec<usize> =
            children.iter().copied().filter(|child| matches!(document.nodes[*child].kind, Node::Element(..))).collect();
        let texts: Vec<usize> = children.into_iter().filter(|child| is_text(document, *child)).collect();
        if !texts.is_empty() && elements.len() + texts.len() > 1 {
            for text in texts {
                let element = Node::Element(name.to_owned(), Vec::new());
                let content = std::mem::replace(&mut document.nodes[text].kind, element);
                document.add(text, content);
            }
        }
        todo.extend(elements);
    }
}
