//! Strategic merge patches, applied here as the API server applies them
//! (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md>).
//!
//! Unlike a merge patch, lists whose elements have a key are merged element by element, and a patch may hold directives: `$patch`
//! (`replace`, `delete`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList/<list>` and `$setElementOrder/<list>`. A field that the
//! kind does not have is an error, because the server would drop it silently.

use serde_json::{Map, Value};

use super::schemas::Schema;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

/// Changes the object as the patch says.
pub(super) fn apply(object: &mut Value, patch: &Value, schema: &Schema) -> Result<(), String> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err("a strategic patch is an object".to_owned());
    };
    merge_object(object, patch, schema)
}

fn merge_object(object: &mut Map<String, Value>, patch: &Map<String, Value>, schema: &Schema) -> Result<(), String> {
    match directive(patch)? {
        Some(Directive::Replace) => {
            *object = without_directives(patch);
            return Ok(());
        }
        Some(Directive::Delete) => {
            object.clear();
            return Ok(());
        }
        Some(Directive::Merge) | None => {}
    }
    if let Some(retained) = patch.get(RETAIN_KEYS) {
        let retained = retained.as_array().ok_or_else(|| format!("{RETAIN_KEYS} is not a list"))?;
        let is_retained = |name: &str| retained.iter().any(|it| it == name);
        let added = patch.iter().find(|(name, value)| !name.starts_with('$') && !value.is_null() && !is_retained(name));
        if let Some((name, _)) = added {
            return Err(format!("{name} is patched, but not in {RETAIN_KEYS}"));
        }
        object.retain(|name, _| is_retained(name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_PREFIX) {
            delete_from(object, list, value)?;
        } else if !name.starts_with('$') {
            merge_field(object, name, value, patch.get(&format!("{ORDER_PREFIX}{name}")), schema)?;
        }
    }
    for (name, order) in patch {
        // Lists that are only put in order.
        if let Some(list) = name.strip_prefix(ORDER_PREFIX)
            && !patch.contains_key(list)
            && let Some(Value::Array(items)) = object.get_mut(list)
        {
            let field = schema.field(list).ok_or_else(|| unknown(list))?;
            let original = items.clone();
            put_in_order(items, order_of(order)?, &original, field.merge_key.as_deref());
        }
    }
    Ok(())
}

fn merge_field(
    object: &mut Map<String, Value>,
    name: &str,
    patch: &Value,
    order: Option<&Value>,
    schema: &Schema,
) -> Result<(), String> {
    if patch.is_null() {
        object.remove(name);
        return Ok(());
    }
    let field = schema.field(name).ok_or_else(|| unknown(name))?;
    let Some(original) = object.get_mut(name) else {
        object.insert(name.to_owned(), without_nulls(patch));
        return Ok(());
    };
    let within = |error: String| format!("{name}: {error}");
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) if !field.replaces() => {
            merge_object(original, patch, &field.schema).map_err(within)
        }
        (Value::Array(original), Value::Array(patch)) if field.merges() => {
            merge_list(original, patch, order, field.merge_key.as_deref(), &field.schema).map_err(within)
        }
        (original, patch) => {
            *original = without_nulls(patch);
            Ok(())
        }
    }
}

fn merge_list(
    items: &mut Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
    merge_key: Option<&str>,
    schema: &Schema,
) -> Result<(), String> {
    let original = items.clone();
    let patched: Vec<Value> = match merge_key {
        None => {
            for value in patch {
                if !items.contains(value) {
                    items.push(value.clone());
                }
            }
            patch.to_vec()
        }
        Some(key) => {
            let Some(elements) = merge_elements(items, patch, key, &schema.element())? else { return Ok(()) };
            elements
        }
    };
    let order = order.map(order_of).transpose()?.unwrap_or(&patched);
    put_in_order(items, order, &original, merge_key);
    Ok(())
}

/// Merges elements by their key, and gives those of the patch that stay; nothing where the patch replaced the list.
fn merge_elements(
    items: &mut Vec<Value>,
    patch: &[Value],
    key: &str,
    schema: &Schema,
) -> Result<Option<Vec<Value>>, String> {
    let mut elements = Vec::new();
    let mut replaces = false;
    for element in patch {
        let Value::Object(fields) = element else { return Err("an element of the list is not an object".to_owned()) };
        match directive(fields)? {
            Some(Directive::Replace) => replaces = true,
            Some(Directive::Delete) => {
                let value = fields.get(key).ok_or_else(|| format!("an element to be deleted has no {key}"))?;
                items.retain(|item| item.get(key) != Some(value));
            }
            Some(Directive::Merge) => return Err(format!("{PATCH}: merge is not for elements of lists")),
            None => elements.push(element.clone()),
        }
    }
    if replaces {
        *items = elements.iter().map(without_nulls).collect();
        return Ok(None);
    }
    for element in &elements {
        let value = element.get(key).ok_or_else(|| format!("an element of the list has no {key}"))?;
        match (items.iter_mut().find(|item| item.get(key) == Some(value)), element) {
            (Some(Value::Object(item)), Value::Object(element)) => merge_object(item, element, schema)?,
            _ => items.push(without_nulls(element)),
        }
    }
    Ok(Some(elements))
}

/// Those that `order` names come in its order, the others in the order they had; between the two the original order decides, and
/// where it cannot, the named ones come first.
fn put_in_order(items: &mut Vec<Value>, order: &[Value], original: &[Value], merge_key: Option<&str>) {
    let place = |list: &[Value], item: &Value| {
        list.iter().position(|other| match merge_key {
            Some(key) => other.get(key) == item.get(key),
            None => other == item,
        })
    };
    let (mut named, mut others): (Vec<_>, Vec<_>) =
        std::mem::take(items).into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(original, item).unwrap_or(usize::MAX));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let Some(other) = others.peek() {
        let comes_first = named.peek().is_none_or(|named| {
            let (other, named) = (place(original, other), place(original, named));
            other.is_some_and(|other| named.is_some_and(|named| other < named))
        });
        items.extend(if comes_first { others.next() } else { named.next() });
    }
    items.extend(named);
}

fn delete_from(object: &mut Map<String, Value>, list: &str, values: &Value) -> Result<(), String> {
    let values = values.as_array().ok_or_else(|| format!("{DELETE_PREFIX}{list} is not a list"))?;
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Replace,
    Delete,
    Merge,
}

fn directive(patch: &Map<String, Value>) -> Result<Option<Directive>, String> {
    match patch.get(PATCH).map(|value| value.as_str().unwrap_or_default()) {
        None => Ok(None),
        Some("replace") => Ok(Some(Directive::Replace)),
        Some("delete") => Ok(Some(Directive::Delete)),
        Some("merge") => Ok(Some(Directive::Merge)),
        Some(other) => Err(format!("{PATCH}: {other:?} is none of replace, delete, merge")),
    }
}

fn order_of(order: &Value) -> Result<&[Value], String> {
    order.as_array().map(Vec::as_slice).ok_or_else(|| format!("a {ORDER_PREFIX} is not a list"))
}

fn unknown(name: &str) -> String {
    format!("the kind has no field {name}")
}

fn without_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a patch adds where nothing was: a null there says nothing, and a directive has nothing to act on.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = without_directives(fields).into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(&value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
