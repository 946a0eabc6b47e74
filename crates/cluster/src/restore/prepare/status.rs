//! Whose status is restored: by option, and by annotation, which has the last word.

use serde_json::Value;

use crate::object::text_at;
use crate::resource::Resource;
use crate::restore::options::StatusChoice;
use crate::restore::scope::is_called;

#[derive(Debug)]
pub(super) struct StatusRule {
    included: Vec<String>,
    excluded: Vec<String>,
}

impl StatusRule {
    pub(super) fn new(choice: &StatusChoice) -> Self {
        Self { included: choice.included_resources.clone(), excluded: choice.excluded_resources.clone() }
    }

    pub(super) fn wants(&self, resource: &Resource) -> bool {
        let has = |texts: &[String]| texts.iter().any(|text| text == "*" || is_called(resource, text));
        (self.included.is_empty() || has(&self.included)) && !has(&self.excluded)
    }
}

/// What the object itself asks for. Anything but a truth value says nothing.
pub(super) fn annotated(object: &Value) -> Option<bool> {
    match &text_at(object, &["metadata", "annotations", "velero.io/restore-status"]).to_lowercase()[..] {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
