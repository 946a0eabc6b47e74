//! Service accounts and their tokens: the controllers make tokens anew, because the old ones are of the old cluster.

use serde_json::Value;

use super::{array_at, object_at};
use crate::object::text_at;

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// Takes off the token that the controllers of old versions gave every account.
pub(super) fn release_account(account: &mut Value) {
    let prefix = format!("{}-token-", text_at(account, &["metadata", "name"]));
    let Some(secrets) = array_at(account, &["secrets"]) else { return };
    secrets.retain(|secret| !text_at(secret, &["name"]).starts_with(&prefix));
    if secrets.is_empty()
        && let Some(fields) = account.as_object_mut()
    {
        fields.remove("secrets");
    }
}

/// Why a token is not restored: it is one that a controller made.
pub(super) fn why_no_token(secret: &Value) -> Option<String> {
    let account = account_of_token(secret)?;
    let is_made = text_at(secret, &["metadata", "name"]).starts_with(&format!("{account}-token-"));
    is_made.then(|| format!("it is a token that was made for service account {account}"))
}

/// A token that somebody asked for is asked for again: its contents are the new cluster's.
pub(super) fn release_token(secret: &mut Value) {
    if account_of_token(secret).is_none() {
        return;
    }
    if let Some(annotations) = object_at(secret, &["metadata", "annotations"]) {
        annotations.remove(ACCOUNT_UID);
    }
    if let Some(data) = object_at(secret, &["data"]) {
        for name in ["token", "ca.crt", "namespace"] {
            data.remove(name);
        }
        if data.is_empty()
            && let Some(fields) = secret.as_object_mut()
        {
            fields.remove("data");
        }
    }
}

fn account_of_token(secret: &Value) -> Option<&str> {
    let is_token = text_at(secret, &["type"]) == "kubernetes.io/service-account-token";
    is_token.then(|| text_at(secret, &["metadata", "annotations", ACCOUNT_NAME]))
}
