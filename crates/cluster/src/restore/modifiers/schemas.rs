//! How the target's kinds merge: the merge keys and strategies of its OpenAPI documents.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::api::Server;

/// Fetches one group version's document: `api/v1`, `apis/apps/v1`.
type Fetch = Box<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

/// The documents that were asked for so far. Most restores ask for none.
pub struct Schemas {
    fetch: Fetch,
    documents: Mutex<HashMap<String, Arc<Value>>>,
}

impl Schemas {
    /// Those of a server.
    pub fn of(server: &Server) -> Self {
        let server = server.clone();
        Self::new(move |path| match server.get_path(&format!("/openapi/v3/{path}")) {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(error.to_string()),
        })
    }

    pub fn new(fetch: impl Fn(&str) -> Result<Vec<u8>, String> + Send + Sync + 'static) -> Self {
        Self { fetch: Box::new(fetch), documents: Mutex::default() }
    }

    /// Of a built-in kind: for others the server defines no strategic merge.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Result<Schema, String> {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        let document = self.document(&format!("{root}/{api_version}"))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_kind = |schema: &Value| {
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            kinds.into_iter().flatten().any(|it| it["group"] == group && it["version"] == version && it["kind"] == kind)
        };
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        let name = schemas
            .and_then(|schemas| schemas.iter().find(|(_, schema)| is_kind(schema)))
            .map(|(name, _)| name.clone())
            .filter(|name| name.starts_with("io.k8s."));
        let name = name.ok_or_else(|| {
            format!("strategicPatches are for built-in kinds only; use mergePatches or patches for {kind}")
        })?;
        let pointer = format!("/components/schemas/{name}");
        Ok(Schema { document, pointer })
    }

    fn document(&self, path: &str) -> Result<Arc<Value>, String> {
        let mut documents = self.documents.lock();
        if let Some(document) = documents.get(path) {
            return Ok(Arc::clone(document));
        }
        let failed = |detail: String| format!("the cluster's schema {path} is not available: {detail}");
        let bytes = (self.fetch)(path).map_err(failed)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let document = Arc::new(document);
        documents.insert(path.to_owned(), Arc::clone(&document));
        Ok(document)
    }
}

/// A place in a document: what one object, or one of its fields, consists of.
#[derive(Clone)]
pub(super) struct Schema {
    document: Arc<Value>,
    pointer: String,
}

/// How a field is merged.
pub(super) struct Field {
    pub(super) schema: Schema,
    /// Of a list: which field tells its elements apart.
    pub(super) merge_key: Option<String>,
    strategies: Vec<String>,
}

impl Field {
    pub(super) fn merges(&self) -> bool {
        self.strategies.iter().any(|it| it == "merge")
    }

    pub(super) fn replaces(&self) -> bool {
        self.strategies.iter().any(|it| it == "replace")
    }
}

impl Schema {
    /// A field, or the values of a map. Nothing: the kind has no such field.
    pub(super) fn field(&self, name: &str) -> Option<Field> {
        let schema = self.value();
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(property) = properties.and_then(|properties| properties.get(name)) {
            let text = |field: &str| property.get(field).and_then(Value::as_str);
            let strategies = text("x-kubernetes-patch-strategy").unwrap_or_default();
            return Some(Field {
                schema: self.at(property),
                merge_key: text("x-kubernetes-patch-merge-key").map(str::to_owned),
                strategies: strategies.split(',').map(str::to_owned).collect(),
            });
        }
        let values = schema.get("additionalProperties").filter(|values| values.is_object());
        let schema = match (values, properties) {
            (Some(values), _) => self.at(values),
            // A schema that says nothing: anything goes.
            (None, None) => self.clone(),
            (None, Some(_)) => return None,
        };
        Some(Field { schema, merge_key: None, strategies: Vec::new() })
    }

    /// The elements of a list.
    pub(super) fn element(&self) -> Self {
        self.value().get("items").map_or_else(|| self.clone(), |items| self.at(items))
    }

    fn value(&self) -> &Value {
        self.document.pointer(&self.pointer).unwrap_or(&Value::Null)
    }

    /// A part of this schema, which may refer to another one, by itself or as the only one of `allOf`.
    fn at(&self, part: &Value) -> Self {
        let reference = part.get("$ref").or_else(|| part.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let pointer = match reference.and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => pointer.to_owned(),
            None => self.pointer_of(part),
        };
        Self { document: Arc::clone(&self.document), pointer }
    }

    /// Where an inline part of this schema is.
    fn pointer_of(&self, part: &Value) -> String {
        let schema = self.value();
        for name in ["items", "additionalProperties"] {
            if schema.get(name).is_some_and(|it| std::ptr::eq(it, part)) {
                return format!("{}/{name}", self.pointer);
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let name = properties.into_iter().find(|(_, it)| std::ptr::eq(*it, part)).map(|(name, _)| name.as_str());
        format!("{}/properties/{}", self.pointer, name.unwrap_or_default().replace('~', "~0").replace('/', "~1"))
    }
}
