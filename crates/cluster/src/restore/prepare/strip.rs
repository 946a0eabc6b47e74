//! What the server sets, taken off.

use serde_json::Value;

use crate::object::OwnerReference;

/// Metadata that the server sets, or that holds for the old object only. Finalizers stay: whoever set them counts on them.
const METADATA: [&str; 8] = [
    "generateName",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// What was taken off and is needed later.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) status: Option<Value>,
    pub(crate) managers: Vec<Value>,
    pub(crate) owners: Vec<OwnerReference>,
}

/// Takes off what a new object cannot have, and gives what of it is still of use.
pub(super) fn strip(object: &mut Value) -> Taken {
    let mut taken = Taken::default();
    let Some(fields) = object.as_object_mut() else { return taken };
    taken.status = fields.remove("status");
    let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return taken };
    for name in METADATA {
        metadata.remove(name);
    }
    if let Some(Value::Array(managers)) = metadata.remove("managedFields") {
        taken.managers = managers;
    }
    if let Some(references) = metadata.remove("ownerReferences") {
        taken.owners = serde_json::from_value(references).unwrap_or_default();
    }
    taken
}
